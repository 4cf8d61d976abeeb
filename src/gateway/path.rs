//! How a request's path is compared with the configured ones, and how it is shown.
//!
//! Only the exact path matches. The one freedom RFC 3986 §6.2.2 gives everybody is taken out
//! first: a percent-encoded unreserved character is that character, and hex digits have no case.
//! Nothing else is normalised: `//`, `..`, `;`, a trailing slash, `%2F` and another case are
//! another path, so that no two readers of a path can disagree about what it names.

use std::borrow::Cow;

/// Where webhook URIs with a token are.
pub const TOKEN_PREFIX: &str = "/h/";

/// The form in which paths are compared: unreserved characters decoded, hex digits upper case.
/// An encoding that is not one stays as it is, and so matches nothing.
pub fn normal_form(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(place) = rest.find('%') {
        normal.push_str(&rest[..place]);
        rest = &rest[place..];
        match encoded_byte(rest) {
            Some(byte) if is_unreserved(byte) => normal.push(char::from(byte)),
            Some(byte) => normal.push_str(&format!("%{byte:02X}")),
            None => {
                normal.push('%');
                rest = &rest[1..];
                continue;
            }
        }
        rest = &rest[3..];
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

/// The token of a webhook URI, if the path has the shape of one: `/h/<token>`, or that and a
/// registration's number.
pub fn token(path: &str) -> Option<&str> {
    let (global, _) = of_registration(path).unwrap_or((path, 0));
    let token = global.strip_prefix(TOKEN_PREFIX)?;
    (!token.is_empty() && !token.contains('/')).then_some(token)
}

/// A path that has the shape of a registration's: what stands before its number, and the number.
/// Numbers have one form: decimal, from 1, without a sign or a leading zero.
pub fn of_registration(path: &str) -> Option<(&str, u32)> {
    let (before, number) = path.rsplit_once('/')?;
    let plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((before, number.parse().ok().filter(|_| plain)?))
}

/// The path as logs and the admin API show it: a matched one without its token, any other without
/// whatever could be one, and cut to a bounded length.
pub fn shown(path: &str, matched: bool) -> String {
    /// Enough for a namespace and a name of 63 characters each.
    const LONGEST: usize = 160;
    /// A token has 32 characters; people's path segments are mostly shorter than this.
    const SUSPICIOUS: usize = 24;
    if matched {
        return match token(path) {
            None => cut(path, LONGEST),
            Some(token) => {
                let rest = &path[TOKEN_PREFIX.len() + token.len()..];
                format!("{TOKEN_PREFIX}***{rest}")
            }
        };
    }
    let mut after_prefix = false;
    let segments = path.split('/').map(|segment| {
        let hidden = after_prefix || segment.len() >= SUSPICIOUS;
        after_prefix |= segment.eq_ignore_ascii_case("h");
        if hidden && !segment.is_empty() {
            "***"
        } else {
            segment
        }
    });
    let mut text = String::new();
    for (index, segment) in segments.enumerate() {
        if index > 0 {
            text.push('/');
        }
        text.push_str(segment);
        if text.len() > LONGEST {
            break;
        }
    }
    cut(&text, LONGEST)
}

/// `text`, or its beginning and an ellipsis where it is longer than `longest` bytes.
pub fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(longest)])
}

fn encoded_byte(text: &str) -> Option<u8> {
    let digits = text.as_bytes().get(1..3)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_needless_percent_encodings_are_undone() {
        let check = |path: &str, expected: &str| assert_eq!(normal_form(path), expected, "{path}");
        check("/shop/orders", "/shop/orders");
        check("/shop/%6frders", "/shop/orders");
        check("/shop/%6Frders%7E", "/shop/orders~");
        check("/shop%2forders", "/shop%2Forders");
        check("/shop/%2e%2E/x", "/shop/../x");
        check("/shop/%", "/shop/%");
        check("/shop/%4", "/shop/%4");
        check("/shop/%zz%41", "/shop/%zzA");
        check("/shop/%25%34%31", "/shop/%2541");
        check("/shop/%c3%bc", "/shop/%C3%BC");
        check("/shop/%ü", "/shop/%ü");
        check("//shop/./orders/", "//shop/./orders/");
        check("", "");
    }

    #[test]
    fn a_shown_path_holds_no_token() {
        let token = "abcdefghijklmnopqrstuvwxyz012345";
        let check = |path: &str, matched: bool, expected: &str| {
            assert_eq!(shown(path, matched), expected, "{path}");
        };
        check("/shop/orders", true, "/shop/orders");
        check(
            "/a-namespace-with-a-long-name/orders",
            true,
            "/a-namespace-with-a-long-name/orders",
        );
        check(&format!("/h/{token}"), true, "/h/***");
        check(&format!("/h/{token}/12"), true, "/h/***/12");
        check("/shop/orders/12", true, "/shop/orders/12");
        check("/h/short", false, "/h/***");
        check(&format!("/H/{token}/1"), false, "/H/***/***");
        check(&format!("//x/../{token};a"), false, "//x/../***");
        check(&format!("/h//{token}"), false, "/h//***");
        check("/favicon.ico", false, "/favicon.ico");
        assert!(shown(&"/a".repeat(10_000), false).len() < 200);
        assert!(shown(&"/ü".repeat(10_000), true).len() < 200);
    }

    #[test]
    fn a_token_is_one_segment_that_a_number_may_follow() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(token(path), expected, "{path}");
        };
        check("/h/abc", Some("abc"));
        check("/h/abc/1", Some("abc"));
        check("/h/abc/4294967295", Some("abc"));
        for path in [
            "/h",
            "/H/abc",
            "/h/abc/",
            "/h/abc/0",
            "/h/abc/01",
            "/h/abc/+1",
            "/h/abc/-1",
            "/h/abc/1 ",
            "/h/abc/x",
            "/h/abc/٣",
            "/h/abc/4294967296",
            "/h/abc/1/1",
            "/h/abc/1/",
            "/h//1",
            "/h/1",
            "/h//abc/1",
        ] {
            check(path, None);
        }
    }

    #[test]
    fn a_registration_is_below_another_path() {
        let check = |path: &str, expected: Option<(&str, u32)>| {
            assert_eq!(of_registration(path), expected, "{path}");
        };
        check("/shop/orders/7", Some(("/shop/orders", 7)));
        check("/shop/orders", None);
        check("/shop/orders/007", None);
        check("/7", Some(("", 7)));
        check("7", None);
    }
}
