//! Just enough JSON (RFC 8259) for this example: parsed into a tree, written from one.
//!
//! Numbers are kept as the text they were, because nothing here calculates with them.

use std::fmt;

/// How deep values may be nested, so that no input can exhaust the stack.
const MAX_DEPTH: usize = 32;

/// A JSON value. Members of objects keep their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// An object with these members.
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(member, _)| member == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a member that is a text.
    pub fn get_text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Parses one value with nothing after it. The error says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.skip_space();
        if parser.at < text.len() {
            return parser.fail("there is something after the value");
        }
        Ok(value)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("the JSON is broken at byte {}: {what}", self.at))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, expected: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return self.fail("it is nested too deeply");
        }
        self.skip_space();
        match self.rest().chars().next() {
            Some('{') => self.object(depth),
            Some('[') => self.list(depth),
            Some('"') => Ok(Json::Text(self.string()?)),
            Some('-' | '0'..='9') => self.number(),
            _ if self.take("null") => Ok(Json::Null),
            _ if self.take("true") => Ok(Json::Bool(true)),
            _ if self.take("false") => Ok(Json::Bool(false)),
            _ => self.fail("a value is missing"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut members: Vec<(String, Json)> = Vec::new();
        if self.take("}") {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if !self.rest().starts_with('"') {
                return self.fail("a name in quotes is missing");
            }
            let name = self.string()?;
            if members.iter().any(|(member, _)| *member == name) {
                return self.fail("a name is there twice");
            }
            if !self.take(":") {
                return self.fail("a colon is missing");
            }
            members.push((name, self.value(depth + 1)?));
            if self.take("}") {
                return Ok(Json::Object(members));
            }
            if !self.take(",") {
                return self.fail("a comma or brace is missing");
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut values = Vec::new();
        if self.take("]") {
            return Ok(Json::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.take("]") {
                return Ok(Json::List(values));
            }
            if !self.take(",") {
                return self.fail("a comma or bracket is missing");
            }
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let rest = self.rest();
        let length = rest
            .find(|letter: char| !matches!(letter, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let number = rest[..length].to_owned();
        let digits = number.trim_start_matches('-');
        let has_leading_zero = digits.starts_with('0')
            && digits[1..].starts_with(|letter: char| letter.is_ascii_digit());
        // Rust also takes `1.` and `.5`, which JSON does not.
        let is_bare_point = number
            .split('.')
            .skip(1)
            .any(|fraction| !fraction.starts_with(|letter: char| letter.is_ascii_digit()));
        if number.parse::<f64>().is_err() || has_leading_zero || is_bare_point {
            return self.fail("this is no number");
        }
        self.at += length;
        Ok(Json::Number(number))
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(letter) = self.rest().chars().next() else {
                return self.fail("a text has no end");
            };
            self.at += letter.len_utf8();
            match letter {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                '\0'..='\x1f' => return self.fail("a control character in a text"),
                letter => text.push(letter),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let Some(letter) = self.rest().chars().next() else {
            return self.fail("a text has no end");
        };
        self.at += letter.len_utf8();
        Ok(match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let mut code = self.four_digits()?;
                // Outside of the basic plane a letter is two escapes (RFC 8259 §7).
                if (0xd800..0xdc00).contains(&code) && self.rest().starts_with("\\u") {
                    self.at += 2;
                    let low = self.four_digits()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return self.fail("half a letter");
                    }
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                match char::from_u32(code) {
                    Some(letter) => letter,
                    None => return self.fail("half a letter"),
                }
            }
            _ => return self.fail("this cannot be escaped"),
        })
    }

    fn four_digits(&mut self) -> Result<u32, String> {
        let digits = self.rest().get(..4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.map(|digits| u32::from_str_radix(digits, 16)) {
            Some(Ok(code)) => {
                self.at += 4;
                Ok(code)
            }
            _ => self.fail("four hexadecimal digits are missing"),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => to.write_str("null"),
            Self::Bool(value) => write!(to, "{value}"),
            Self::Number(number) => to.write_str(number),
            Self::Text(text) => write_text(to, text),
            Self::List(values) => {
                to.write_str("[")?;
                for (position, value) in values.iter().enumerate() {
                    write!(to, "{}{value}", if position > 0 { "," } else { "" })?;
                }
                to.write_str("]")
            }
            Self::Object(members) => {
                to.write_str("{")?;
                for (position, (name, value)) in members.iter().enumerate() {
                    to.write_str(if position > 0 { "," } else { "" })?;
                    write_text(to, name)?;
                    write!(to, ":{value}")?;
                }
                to.write_str("}")
            }
        }
    }
}

fn write_text(to: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    to.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(to, "\\{letter}")?,
            '\0'..='\x1f' => write!(to, "\\u{:04x}", u32::from(letter))?,
            letter => write!(to, "{letter}")?,
        }
    }
    to.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in [
            r#"{"a":[1,-2.5e3,true,false,null],"b":{},"c":[]}"#,
            r#""a \"quoted\" \\ text""#,
            r#""line\u000a""#,
        ] {
            assert_eq!(Json::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Json::parse(r#" "\u00e9\n\/\ud83d\ude00" "#).unwrap(),
            Json::text("é\n/😀")
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\" 1}",
            "{\"a\":1,\"a\":2}",
            "01",
            "1.",
            ".5",
            "-",
            "nul",
            "\"a",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\n\"",
            "1 2",
            "\"\\u+123\"",
        ] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
    }
}
