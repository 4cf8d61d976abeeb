//! The functions: which exist, how they are called, and what each does.
//!
//! A call is resolved to a [`Function`] when an expression is compiled, so an
//! unknown name or a wrong number of arguments never reaches a request.
//!
//! Deliberately absent: a keyed hash with a key that an expression can see
//! (keys name their source in a manifest and are never values), anything that
//! reads the clock, the environment, or a time zone database.

mod conversions;
mod encodings;
mod formatting;
mod lists;
mod numbers;
mod texts;
mod times;

use super::value::Value;
use super::{Budget, EvaluationError};

pub(super) use conversions::{display, double_text, duration_text};
pub(super) use encodings::RESERVED;

type Answer<'a> = Result<Value<'a>, EvaluationError>;

/// The most arguments a function takes, its target included.
pub(super) const MAX_ARGUMENTS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Type,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Bool,
    Timestamp,
    Duration,
    Dyn,
    Contains,
    StartsWith,
    EndsWith,
    CharAt,
    IndexOf,
    LastIndexOf,
    Join,
    LowerAscii,
    UpperAscii,
    Replace,
    Split,
    Substring,
    Trim,
    Reverse,
    Format,
    Quote,
    Distinct,
    Flatten,
    Range,
    Slice,
    Sort,
    First,
    Last,
    Base64Encode,
    Base64Decode,
    JsonEncode,
    JsonDecode,
    UrlEncode,
    UrlDecode,
    UrlHost,
    Hex,
    Sha1,
    Sha256,
    Crc32,
    KeyValues,
    TimeParse,
    TimeMillis,
    Greatest,
    Least,
    FullYear,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// How a function is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`, also with a namespace: `json.encode(x)`.
    Global,
    /// `x.f()`
    Member,
    /// Both.
    Either,
}

pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) style: Style,
    /// Fewest and most arguments, the target included.
    pub(super) arguments: (usize, usize),
    pub(super) function: Function,
}

const fn global(name: &'static str, least: usize, most: usize, function: Function) -> Signature {
    Signature {
        name,
        style: Style::Global,
        arguments: (least, most),
        function,
    }
}

const fn member(name: &'static str, least: usize, most: usize, function: Function) -> Signature {
    Signature {
        name,
        style: Style::Member,
        arguments: (least, most),
        function,
    }
}

/// Every function but those the compiler itself knows: `get`, `has`, `matches`,
/// `path`, `sortBy` and the comprehensions.
pub(super) const SIGNATURES: &[Signature] = &[
    Signature {
        name: "size",
        style: Style::Either,
        arguments: (1, 1),
        function: Function::Size,
    },
    global("type", 1, 1, Function::Type),
    global("int", 1, 1, Function::Int),
    global("uint", 1, 1, Function::Uint),
    global("double", 1, 1, Function::Double),
    global("string", 1, 1, Function::String),
    global("bytes", 1, 1, Function::Bytes),
    global("bool", 1, 1, Function::Bool),
    global("timestamp", 1, 1, Function::Timestamp),
    global("duration", 1, 1, Function::Duration),
    global("dyn", 1, 1, Function::Dyn),
    member("contains", 2, 2, Function::Contains),
    member("startsWith", 2, 2, Function::StartsWith),
    member("endsWith", 2, 2, Function::EndsWith),
    member("charAt", 2, 2, Function::CharAt),
    member("indexOf", 2, 3, Function::IndexOf),
    member("lastIndexOf", 2, 3, Function::LastIndexOf),
    member("join", 1, 2, Function::Join),
    member("lowerAscii", 1, 1, Function::LowerAscii),
    member("upperAscii", 1, 1, Function::UpperAscii),
    member("replace", 3, 4, Function::Replace),
    member("split", 2, 3, Function::Split),
    member("substring", 2, 3, Function::Substring),
    member("trim", 1, 1, Function::Trim),
    member("reverse", 1, 1, Function::Reverse),
    member("format", 2, 2, Function::Format),
    global("strings.quote", 1, 1, Function::Quote),
    member("distinct", 1, 1, Function::Distinct),
    member("flatten", 1, 2, Function::Flatten),
    global("lists.range", 1, 1, Function::Range),
    member("slice", 3, 3, Function::Slice),
    member("sort", 1, 1, Function::Sort),
    member("first", 1, 1, Function::First),
    member("last", 1, 1, Function::Last),
    global("base64.encode", 1, 1, Function::Base64Encode),
    global("base64.decode", 1, 1, Function::Base64Decode),
    global("json.encode", 1, 1, Function::JsonEncode),
    global("json.decode", 1, 1, Function::JsonDecode),
    global("url.encode", 1, 1, Function::UrlEncode),
    global("url.decode", 1, 1, Function::UrlDecode),
    global("url.host", 1, 1, Function::UrlHost),
    global("hex", 1, 1, Function::Hex),
    global("sha1", 1, 1, Function::Sha1),
    global("sha256", 1, 1, Function::Sha256),
    global("crc32", 1, 1, Function::Crc32),
    global("kv", 1, 2, Function::KeyValues),
    global("time.parse", 2, 2, Function::TimeParse),
    global("time.millis", 1, 1, Function::TimeMillis),
    global("math.greatest", 1, usize::MAX, Function::Greatest),
    global("math.least", 1, usize::MAX, Function::Least),
    member("getFullYear", 1, 2, Function::FullYear),
    member("getMonth", 1, 2, Function::Month),
    member("getDayOfYear", 1, 2, Function::DayOfYear),
    member("getDayOfMonth", 1, 2, Function::DayOfMonth),
    member("getDate", 1, 2, Function::Date),
    member("getDayOfWeek", 1, 2, Function::DayOfWeek),
    member("getHours", 1, 2, Function::Hours),
    member("getMinutes", 1, 2, Function::Minutes),
    member("getSeconds", 1, 2, Function::Seconds),
    member("getMilliseconds", 1, 2, Function::Milliseconds),
];

/// Names in front of functions; each followed by a dot.
pub(super) const NAMESPACES: &[&str] =
    &["base64", "json", "lists", "math", "strings", "time", "url"];

/// Names that the compiler knows as functions without a [`Signature`], for suggestions.
pub(super) const BUILT_IN: &[&str] = &[
    "get",
    "has",
    "matches",
    "path",
    "sortBy",
    "all",
    "exists",
    "exists_one",
    "filter",
    "map",
];

impl Function {
    /// Whether the arguments come as one list, however many there are.
    pub(super) const fn is_variadic(self) -> bool {
        matches!(self, Self::Greatest | Self::Least)
    }

    /// The function's result. `arguments` holds the target first; what is not given is absent.
    pub(super) fn call<'a>(self, arguments: &[Value<'a>], budget: &mut Budget) -> Answer<'a> {
        match self {
            Self::Size => lists::size(arguments, budget),
            Self::Type => Ok(Value::Type(arguments[0].kind())),
            Self::Dyn => Ok(arguments[0].clone()),
            Self::Int => conversions::int(&arguments[0], budget),
            Self::Uint => conversions::uint(&arguments[0], budget),
            Self::Double => conversions::double(&arguments[0], budget),
            Self::String => conversions::string(&arguments[0], budget),
            Self::Bytes => conversions::bytes(&arguments[0], budget),
            Self::Bool => conversions::bool(&arguments[0]),
            Self::Timestamp => times::timestamp(&arguments[0], budget),
            Self::Duration => times::duration(&arguments[0], budget),
            Self::TimeParse => times::parse(arguments, budget),
            Self::TimeMillis => times::millis(&arguments[0]),
            Self::FullYear
            | Self::Month
            | Self::DayOfYear
            | Self::DayOfMonth
            | Self::Date
            | Self::DayOfWeek
            | Self::Hours
            | Self::Minutes
            | Self::Seconds
            | Self::Milliseconds => times::part(self, arguments),
            Self::Contains => texts::contains(arguments, budget),
            Self::StartsWith => texts::starts_with(arguments, budget),
            Self::EndsWith => texts::ends_with(arguments, budget),
            Self::CharAt => texts::char_at(arguments, budget),
            Self::IndexOf => texts::index_of(arguments, budget),
            Self::LastIndexOf => texts::last_index_of(arguments, budget),
            Self::Join => texts::join(arguments, budget),
            Self::LowerAscii => texts::lower_ascii(arguments, budget),
            Self::UpperAscii => texts::upper_ascii(arguments, budget),
            Self::Replace => texts::replace(arguments, budget),
            Self::Split => texts::split(arguments, budget),
            Self::Substring => texts::substring(arguments, budget),
            Self::Trim => texts::trim(arguments, budget),
            Self::Reverse => texts::reverse(arguments, budget),
            Self::Format => formatting::format(arguments, budget),
            Self::Quote => formatting::quote(arguments, budget),
            Self::Distinct => lists::distinct(arguments, budget),
            Self::Flatten => lists::flatten(arguments, budget),
            Self::Range => lists::range(arguments, budget),
            Self::Slice => lists::slice(arguments, budget),
            Self::Sort => lists::sort(arguments, budget),
            Self::First => lists::first(arguments),
            Self::Last => lists::last(arguments),
            Self::Base64Encode => encodings::base64_encode(arguments, budget),
            Self::Base64Decode => encodings::base64_decode(arguments, budget),
            Self::JsonEncode => encodings::json_encode(arguments, budget),
            Self::JsonDecode => encodings::json_decode(arguments, budget),
            Self::UrlEncode => encodings::url_encode(arguments, budget),
            Self::UrlDecode => encodings::url_decode(arguments, budget),
            Self::UrlHost => encodings::url_host(arguments, budget),
            Self::Hex => encodings::hex(arguments, budget),
            Self::Sha1 => encodings::sha1(arguments, budget),
            Self::Sha256 => encodings::sha256(arguments, budget),
            Self::Crc32 => encodings::crc32(arguments, budget),
            Self::KeyValues => encodings::key_values(arguments, budget),
            Self::Greatest => numbers::greatest(arguments, budget),
            Self::Least => numbers::least(arguments, budget),
        }
    }
}

pub(super) use lists::sort_by;
