//! JSON as CEL sees it. Members of a payload are decoded when they are looked at, and strings stay in place: a copy of
//! any value is a reference, of any size. Nothing here knows the meaning of members.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use cel::ExecutionError;
use cel::common::traits::{self, Container, Indexer, Iterable, Sizer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt, LIST_TYPE, MAP_TYPE, Type,
};
use cel::common::value::{CowVal, Val};
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The function that fails if no double holds a number; the message is its key.
pub(super) const TOO_LARGE: &str = "@too_large";

static LIST: Type = LIST_TYPE;
static MAP: Type = MAP_TYPE;

/// One decoded value. Whole numbers are `int`; `uint` only beyond it.
#[derive(Clone)]
pub(super) enum JsonValue<'a> {
    Null,
    Bool(CelBool),
    Int(CelInt),
    Uint(CelUInt),
    Double(CelDouble),
    Text(CelString<'a>),
    List(JsonList<'a>),
    Map(JsonMap<'a>),
}

static NULL: CelNull = CelNull;

impl<'a> JsonValue<'a> {
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(CelString::from(text))
    }

    fn as_val(&self) -> &(dyn Val + 'a) {
        match self {
            Self::Null => &NULL,
            Self::Bool(value) => value,
            Self::Int(value) => value,
            Self::Uint(value) => value,
            Self::Double(value) => value,
            Self::Text(value) => value,
            Self::List(value) => value,
            Self::Map(value) => value,
        }
    }

    pub(crate) fn into_cow<'b, 'v>(self) -> CowVal<'b, 'v>
    where
        'a: 'v,
    {
        match self {
            Self::Null => CowVal::Borrowed(&NULL),
            Self::Bool(value) => CowVal::owned(value),
            Self::Int(value) => CowVal::owned(value),
            Self::Uint(value) => CowVal::owned(value),
            Self::Double(value) => CowVal::owned(value),
            Self::Text(value) => CowVal::owned(value),
            Self::List(value) => CowVal::owned(value),
            Self::Map(value) => CowVal::owned(value),
        }
    }
}

/// A list; its elements are decoded.
#[derive(Clone)]
pub(super) struct JsonList<'a>(Arc<[JsonValue<'a>]>);

impl<'a> FromIterator<JsonValue<'a>> for JsonList<'a> {
    fn from_iter<I: IntoIterator<Item = JsonValue<'a>>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

/// A map; its values are decoded, and sorted by key.
#[derive(Clone)]
pub(super) struct JsonMap<'a>(Arc<[(CelString<'a>, JsonValue<'a>)]>);

impl<'a> FromIterator<(CelString<'a>, JsonValue<'a>)> for JsonMap<'a> {
    fn from_iter<I: IntoIterator<Item = (CelString<'a>, JsonValue<'a>)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|(left, _), (right, _)| left.cmp(right));
        Self(entries.into())
    }
}

/// The members of a JSON object, decoded when they are looked at, and sorted by key.
#[derive(Clone)]
pub(super) struct JsonMembers<'a>(Arc<[(CelString<'a>, &'a RawValue)]>);

impl<'a> JsonMembers<'a> {
    /// Parses `text`; `None` if it is not a JSON object.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    pub(crate) fn empty() -> Self {
        Self(Arc::new([]))
    }

    fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let at = self.0.binary_search_by(|(name, _)| name.inner().cmp(key)).ok()?;
        Some(self.0[at].1)
    }
}

/// The contents are never shown: code that prints a value prints it into an error.
macro_rules! shown_as {
    ($type:ident, $word:literal) => {
        impl fmt::Debug for $type<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($word)
            }
        }
    };
}
shown_as!(JsonList, "list");
shown_as!(JsonMap, "map");
shown_as!(JsonMembers, "map");

/// Returns the error of a missing key. Whether its name may be shown is decided when it becomes a failure.
fn no_such_key(key: &str) -> ExecutionError {
    ExecutionError::no_such_key(&key.chars().take(80).collect::<String>())
}

fn key_of(index: &dyn Val) -> Result<&str, ExecutionError> {
    match index.downcast_ref::<CelString>() {
        Some(key) => Ok(key.inner()),
        None => {
            let got = index.get_type().name().to_owned();
            Err(ExecutionError::UnexpectedType { got, want: "string".to_owned() })
        }
    }
}

/// Walks the values of a list.
struct JsonElements<'b, 'a>(std::slice::Iter<'b, JsonValue<'a>>);

impl<'b, 'a: 'v, 'v> traits::Iterator<'b, 'v> for JsonElements<'b, 'a> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        let element: &'b JsonValue<'a> = self.0.next()?;
        Some(element.as_val())
    }
}

/// Walks the keys of a map.
struct Keys<'b, 'a, T>(std::slice::Iter<'b, (CelString<'a>, T)>);

impl<'b, 'a: 'v, 'v, T> traits::Iterator<'b, 'v> for Keys<'b, 'a, T> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        let (key, _) = self.0.next()?;
        Some(key)
    }
}

impl Val for JsonList<'_> {
    fn get_type(&self) -> &Type {
        &LIST
    }
    fn cel_type() -> &'static Type {
        &LIST
    }
    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }
    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }
    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }
    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }
    fn equals(&self, other: &dyn Val) -> bool {
        let (Some(sizer), Some(other)) = (other.as_sizer(), other.as_iterable()) else { return false };
        let mut theirs = other.iter();
        *sizer.size().inner() == self.0.len() as i64
            && self.0.iter().all(|ours| theirs.next().is_some_and(|theirs| ours.as_val().equals(theirs)))
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
}

impl Container for JsonList<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.0.iter().any(|element| element.as_val().equals(value)))
    }
}

impl Indexer for JsonList<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(at) = index.downcast_ref::<CelInt>() else {
            let got = index.get_type().name().to_owned();
            return Err(ExecutionError::UnexpectedType { got, want: "int".to_owned() });
        };
        let element = usize::try_from(*at.inner()).ok().and_then(|at| self.0.get(at));
        let element = element.ok_or(ExecutionError::IndexOutOfBounds((*at.inner()).into()))?;
        Ok(CowVal::Borrowed(element.as_val()))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl<'a> Iterable for JsonList<'a> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn traits::Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(JsonElements(self.0.iter()))
    }
}

impl Sizer for JsonList<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(self.0.len() as i64)
    }
}

/// Shared by both maps; `$found` is how one of them comes to a value.
macro_rules! map_of {
    ($type:ident, $found:expr) => {
        impl Val for $type<'_> {
            fn get_type(&self) -> &Type {
                &MAP
            }
            fn cel_type() -> &'static Type {
                &MAP
            }
            fn as_container(&self) -> Option<&dyn Container> {
                Some(self)
            }
            fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
            where
                Self: 'v,
            {
                Some(self)
            }
            fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
            where
                Self: 'v,
            {
                Some(self)
            }
            fn as_sizer(&self) -> Option<&dyn Sizer> {
                Some(self)
            }
            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new(self.clone())
            }
        }

        impl Container for $type<'_> {
            fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
                let key = key_of(key)?;
                Ok(self.0.binary_search_by(|(name, _)| name.inner().cmp(key)).is_ok())
            }
        }

        impl Indexer for $type<'_> {
            fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
            where
                Self: 'v,
            {
                $found(self, key_of(key)?)
            }

            fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
            where
                Self: 'v,
            {
                self.get(key).map(CowVal::into_owned)
            }
        }

        impl<'a> Iterable for $type<'a> {
            fn iter<'b, 'v>(&'b self) -> Box<dyn traits::Iterator<'b, 'v> + 'b>
            where
                Self: 'v,
            {
                Box::new(Keys(self.0.iter()))
            }
        }

        impl Sizer for $type<'_> {
            fn size(&self) -> CelInt {
                CelInt::from(self.0.len() as i64)
            }
        }
    };
}

fn in_map<'b, 'a: 'v, 'v>(map: &'b JsonMap<'a>, key: &str) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let at = map.0.binary_search_by(|(name, _)| name.inner().cmp(key)).map_err(|_| no_such_key(key))?;
    Ok(CowVal::Borrowed(map.0[at].1.as_val()))
}

fn in_members<'b, 'a: 'v, 'v>(
    members: &'b JsonMembers<'a>,
    key: &str,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let raw = members.raw(key).ok_or_else(|| no_such_key(key))?;
    match serde_json::from_str::<JsonValue<'a>>(raw.get()) {
        Ok(value) => Ok(value.into_cow()),
        // A number that no double holds.
        Err(_) => Err(ExecutionError::function_error(TOO_LARGE, format!("{key:.80}"))),
    }
}

map_of!(JsonMap, in_map);
map_of!(JsonMembers, in_members);

impl<'de> Deserialize<'de> for JsonValue<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = JsonValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Bool(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Int(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<JsonValue<'de>, E> {
        Ok(i64::try_from(value).map_or(JsonValue::Uint(value.into()), |value| JsonValue::Int(value.into())))
    }
    fn visit_f64<E>(self, value: f64) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Double(value.into()))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::text(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Text(CelString::from(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<JsonValue<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(JsonValue::List(list.into_iter().collect()))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<JsonValue<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Key<'de>, JsonValue<'de>>()? {
            map.push((key.0, value));
        }
        Ok(JsonValue::Map(map.into_iter().collect()))
    }
}

/// A key, borrowed if it has no escapes.
struct Key<'a>(CelString<'a>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(value.to_owned()))
            }
        }
        Ok(Self(match deserializer.deserialize_str(KeyVisitor)? {
            Cow::Borrowed(key) => CelString::from(key),
            Cow::Owned(key) => CelString::from(key),
        }))
    }
}

impl<'de> Deserialize<'de> for JsonMembers<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = JsonMembers<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(32);
                while let Some((key, value)) = entries.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((key.0, value));
                }
                members.sort_by(|(left, _): &(CelString<'_>, _), (right, _)| left.cmp(right));
                Ok(JsonMembers(members.into()))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}
