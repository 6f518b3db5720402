//! Hand-off to IntelMQ: an event as its receiving bot accepts it. IntelMQ stops, or loops for ever, at a field that it
//! does not know. So the door knows the field list and adapts members that would be refused, here alone: the envelope,
//! and the lines of other consumers, stay as they are. If a member needs no change, it is copied token for token. Bots,
//! queues and sockets are not known here.

mod adapt;
mod address;
mod annotate;
mod extra;
mod field;
mod fields;
mod harmonization;
mod host;
mod kind;
mod moment;
mod nested;
mod value;

use std::sync::Arc;

use thiserror::Error;

use super::edit;
use super::foreign::{BodyFormat, BodyRule, NotConverted, convert_body};
use super::handoff::{Carried, DeliveryForm, HandOff, type_member};
use crate::event::check_body;
use crate::limits::HANDED_BYTES_MAX;
pub(crate) use adapt::AdaptedEvent;
use adapt::{AdaptPlan, Subject};
pub(crate) use annotate::RelationFieldError;
pub use annotate::RelationFields;
pub use harmonization::Harmonization;
pub(crate) use harmonization::HarmonizationError;
pub(crate) use kind::classifications;

/// Selects the `feed.*` and `time.observation` of a receiver's event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SenderFeed {
    /// The sender's, which replace those of the receiver's collector, as between two IntelMQs today.
    #[default]
    Replace,
    /// The receiver's own; the sender's are kept under `extra.intelmesh`.
    Keep,
}

impl SenderFeed {
    pub const ALL: [Self; 2] = [Self::Replace, Self::Keep];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == text)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
        }
    }
}

/// How a consumer that is an IntelMQ wants its events.
#[derive(Clone, Debug)]
pub struct IntelmqHandOff {
    /// Forms other than `plain` are for other readers and go as [`HandOff`] writes them.
    pub hand_off: HandOff,
    /// The name of this node in messages of IDEA.
    pub node: Option<String>,
    /// Adds `extra.intelmesh.*`, by which a returning event is known (decisions/0014).
    pub annotate: bool,
    /// Sets aside events that would have to be adapted.
    pub strict: bool,
    pub sender_feed: SenderFeed,
    pub relation_fields: RelationFields,
    pub harmonization: Arc<Harmonization>,
}

impl Default for IntelmqHandOff {
    fn default() -> Self {
        Self {
            hand_off: HandOff { form: DeliveryForm::Plain, ..HandOff::default() },
            node: None,
            annotate: true,
            strict: false,
            sender_feed: SenderFeed::default(),
            relation_fields: RelationFields::default(),
            harmonization: Harmonization::intelmq(),
        }
    }
}

/// The outcome for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenEvent {
    /// Nothing in it had to be adapted.
    AsItIs,
    Adapted(AdaptedEvent),
    /// Nothing was written: its body is sealed and cannot be opened here.
    Nothing,
}

/// Why an event cannot be handed to this consumer; it stays in the journal, and others get it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SetAside {
    #[error("format \"{0}\" is not IntelMQ's")]
    Format(String),
    #[error("the receiver has no reports")]
    NoReports,
    #[error("no field of it is one that the receiver knows")]
    NothingLeft,
    #[error("{0} bytes as the receiver would get it, more than {HANDED_BYTES_MAX}")]
    TooLarge(usize),
    #[error("strict = true, and IntelMQ would refuse {0}")]
    Strict(AdaptedEvent),
    #[error("the receiver would refuse {0}, and has no `extra` to keep it in")]
    NoPlace(AdaptedEvent),
    /// A carried message that cannot be decoded, or an event that the other format has no message for.
    #[error(transparent)]
    NotConverted(#[from] NotConverted),
    /// The publisher's body is not an event; intake refuses those.
    #[error("not a JSON object of one line: {0}")]
    Body(String),
}

impl SetAside {
    /// Returns the reason in one word, for counting.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format(_) => "format",
            Self::NoReports => "no_reports",
            Self::NothingLeft => "nothing_left",
            Self::TooLarge(_) => "too_large",
            Self::Strict(_) => "strict",
            Self::NoPlace(_) => "no_place",
            Self::NotConverted(fault) => fault.code,
            Self::Body(_) => "bad_body",
        }
    }
}

impl IntelmqHandOff {
    /// Returns the lines of a stored event as this consumer takes them: several if a carried message became several
    /// events, and none if it cannot be opened here. Each has a note if anything in it was adapted.
    ///
    /// # Errors
    /// [`SetAside`] if one of them cannot be handed off: then none is.
    pub fn write_lines(&self, carried: &Carried<'_>) -> Result<Vec<(Vec<u8>, bool)>, SetAside> {
        let plain = self.hand_off.form == DeliveryForm::Plain;
        let bodies = match self.hand_off.format {
            Some(wanted) => {
                convert_body(carried, BodyRule { wanted, labelled: plain, node: self.node.as_deref() })?
            }
            None => None,
        };
        let line = |carried: &Carried<'_>| -> Result<Option<(Vec<u8>, bool)>, SetAside> {
            let mut line = Vec::new();
            let written = self.write(carried, &mut line)?;
            let adapted = matches!(written, WrittenEvent::Adapted(_));
            Ok((written != WrittenEvent::Nothing).then_some((line, adapted)))
        };
        let Some(bodies) = bodies else { return Ok(line(carried)?.into_iter().collect()) };
        let mut lines = Vec::with_capacity(bodies.len());
        for body in bodies {
            // A plain event gets its part beside the other members of ours.
            let body = if plain { body } else { body.with_part() };
            lines.extend(line(&Carried { converted: Some(&body), ..*carried })?);
        }
        Ok(lines)
    }

    /// Appends a stored event as this consumer takes it, without a line break. If it is set aside, `out` is as it was.
    ///
    /// # Errors
    /// [`SetAside`] if no rule makes it one that the receiver takes.
    pub fn write(&self, carried: &Carried<'_>, out: &mut Vec<u8>) -> Result<WrittenEvent, SetAside> {
        let core = carried.core();
        let Some(payload) = carried.payload() else { return Ok(WrittenEvent::Nothing) };
        let foreign = self.hand_off.format.is_some_and(|format| format != BodyFormat::Intelmq);
        if self.hand_off.form != DeliveryForm::Plain || foreign {
            self.hand_off.write_line(carried, out);
            return Ok(WrittenEvent::AsItIs);
        }
        if carried.format() != "intelmq" {
            return Err(SetAside::Format(carried.format().to_owned()));
        }
        let fields = self.harmonization.of(core.event_type);
        if fields.is_empty() {
            return Err(SetAside::NoReports);
        }
        let scan = check_body(payload).map_err(|fault| SetAside::Body(fault.to_string()))?;
        // It is UTF-8: the scan has seen to it.
        let text = std::str::from_utf8(payload).unwrap_or_default();
        let relations = annotate::that_fit(self.relation_fields.told_by(carried), fields);
        let ours: Vec<&str> = relations.0.iter().map(|(name, _)| *name).collect();
        let keeps_feed = self.sender_feed == SenderFeed::Keep;
        let subject = Subject { text, scan: &scan, fields, keeps_feed, ours: &ours };
        let mut plan = AdaptPlan::of(&subject);
        if plan.kept == 0 {
            return Err(SetAside::NothingLeft);
        }
        if self.annotate && fields.has_extra() {
            annotate::annotate(carried, &mut plan);
        }
        annotate::relate(relations, &mut plan);
        match &plan.adapted {
            Some(adapted) if self.strict => return Err(SetAside::Strict(adapted.clone())),
            Some(adapted) if !plan.moved.is_empty() && !fields.has_extra() => {
                return Err(SetAside::NoPlace(adapted.clone()));
            }
            _ => {}
        }
        let begun = out.len();
        self.write_plan(&subject, &plan, carried, out);
        let written = out.len() - begun;
        if written > HANDED_BYTES_MAX {
            out.truncate(begun);
            return Err(SetAside::TooLarge(written));
        }
        Ok(plan.adapted.map_or(WrittenEvent::AsItIs, WrittenEvent::Adapted))
    }

    fn write_plan(
        &self,
        subject: &Subject<'_>,
        plan: &AdaptPlan<'_>,
        carried: &Carried<'_>,
        out: &mut Vec<u8>,
    ) {
        let text = subject.text.as_bytes();
        out.reserve(text.len() + 512);
        let begun = out.len() + 1;
        if plan.gone.is_empty() {
            out.extend_from_slice(text);
        } else {
            let goes = |start: usize| plan.gone.binary_search(&start).is_ok();
            let cuts = edit::cuts(&subject.scan.members, |member| goes(member.key_at.start));
            out.extend_from_slice(&edit::copy_without(text, &cuts));
        }
        out.pop();
        let mut first = out[begun..].iter().all(u8::is_ascii_whitespace);
        for (key, value) in &plan.put {
            annotate::put_member(out, &mut first, key, value);
        }
        for (index, (key, value)) in plan.moved.iter().enumerate() {
            if index == 0 {
                annotate::put_member(out, &mut first, "extra.intelmesh.moved", "{");
            }
            annotate::put_member(out, &mut (index == 0), key, value);
        }
        if !plan.moved.is_empty() {
            out.push(b'}');
        }
        if self.hand_off.with_type {
            if !first {
                out.push(b',');
            }
            out.extend_from_slice(type_member(carried.core().event_type).as_bytes());
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests;
