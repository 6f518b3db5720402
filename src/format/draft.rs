//! A line as read, on its way to a signed core: chance, time and `keys/` are added to it. Nothing here asks whether its
//! id was seen before.

use uuid::Uuid;

use super::event_label::EventLabel;
use super::meta::EventMeta;
use super::payload::CheckedPayload;
use super::refusal::{SubmitCode, SubmitError};
use crate::envelope::content::{BodyIdSecret, content_uuid};
use crate::envelope::{Body, Core, ENVELOPE_VERSION, EventType, Extensions, IdScheme};
use crate::event::EventFormat;
use crate::identity::{EventId, ProjectName, PublisherName};
use crate::limits::MAX_HOPS_DEFAULT;
use crate::time::Timestamp;

/// Inputs of a core from chance, time and `keys/`.
#[derive(Debug)]
pub struct IdInputs<'a> {
    pub now: Timestamp,
    /// A fresh UUIDv4; used if nothing else gives the id.
    pub random: Uuid,
    pub secret: &'a BodyIdSecret,
}

/// A line as read, without its id and time.
#[derive(Clone, Debug)]
pub struct CoreDraft {
    pub(super) publisher: PublisherName,
    pub(super) project: ProjectName,
    /// How its id is made: the line's word, or else the door's.
    pub(super) ids: IdScheme,
    pub(super) meta: EventMeta,
    pub(super) format: EventFormat,
    pub(super) event_type: EventType,
    pub(super) label: EventLabel,
    /// The line's recipients; once addressed, those of the event.
    pub(super) to: Vec<PublisherName>,
    /// Those of the door, which narrow them.
    pub(super) door_to: Vec<PublisherName>,
    /// It is to be sealed, for any recipients.
    pub(super) seal: bool,
    pub(super) payload: CheckedPayload,
}

impl CoreDraft {
    /// Returns the core, not yet sealed.
    pub(super) fn into_core(self, made: &IdInputs<'_>) -> Result<Core, SubmitError> {
        let (ids, id) = self.id(made)?;
        self.into_core_as(ids, id, made.now)
    }

    pub(super) fn into_core_as(
        self,
        ids: IdScheme,
        id: EventId,
        now: Timestamp,
    ) -> Result<Core, SubmitError> {
        if self.meta.expires.is_some_and(|expires| expires <= now) {
            return Err(SubmitError::bad_meta("meta.expires has passed already"));
        }
        Ok(Core {
            version: ENVELOPE_VERSION,
            id,
            ids,
            created: now,
            expires: self.meta.expires,
            event_type: self.event_type,
            format: self.format,
            tlp: self.label.tlp,
            to: self.to,
            max_hops: MAX_HOPS_DEFAULT,
            parent: self.meta.parent,
            links: self.meta.links,
            ext: self.meta.ext,
            body: Body::Plain(self.payload.into_bytes()),
            extensions: Extensions::default(),
        })
    }

    pub(super) fn id(&self, made: &IdInputs<'_>) -> Result<(IdScheme, EventId), SubmitError> {
        let own = |uuid| EventId { publisher: self.publisher.clone(), project: self.project.clone(), uuid };
        let scheme = self.ids;
        let uuid = match scheme {
            IdScheme::Random => made.random,
            IdScheme::Body => made.secret.uuid_of(self.payload.as_str().as_bytes()),
            IdScheme::Content => content_uuid(self.payload.as_str()).map_err(|fault| {
                SubmitError::new(SubmitCode::BadNumber, format!("a content id over {fault}"))
            })?,
        };
        match &self.meta.current {
            None => Ok((scheme, own(uuid))),
            Some(given) if given.uuid == uuid => Ok((scheme, given.clone())),
            // An id that is given needs no scheme, unless the line itself asks for one. At a door for content ids
            // every id says what its content is.
            Some(given)
                if scheme == IdScheme::Random || (scheme == IdScheme::Body && self.meta.ids.is_none()) =>
            {
                Ok((IdScheme::Random, given.clone()))
            }
            Some(given) => {
                Err(SubmitError::bad_id(format!("{given} is not the id of this payload, which is {uuid}"))
                    .hint("leave `uuid.current` out, or say `\"ids\": \"random\"` beside it"))
            }
        }
    }
}
