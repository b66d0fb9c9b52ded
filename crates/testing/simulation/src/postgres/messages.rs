//! The frames of PostgreSQL's protocol, as far as one has to look into them: where a message ends,
//! what it is, and whether the session is in a transaction afterwards.
//!
//! Source: PostgreSQL's documentation, chapter "Frontend/Backend Protocol", "Message Formats".

/// A message that has arrived whole: its type and its body.
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    pub(super) body: &'a [u8],
    /// Type, length and body.
    pub(super) whole: &'a [u8],
}

/// The type and the length come before the body; the length counts itself, not the type.
const HEADER_BYTES: usize = 5;

/// Takes the first whole message off `bytes`, if there is one.
pub(super) fn next<'a>(bytes: &mut &'a [u8]) -> Option<Message<'a>> {
    let header = bytes.get(..HEADER_BYTES)?;
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    let end = usize::try_from(length).ok()? + 1;
    let whole = bytes.get(..end)?;
    *bytes = &bytes[end..];
    Some(Message {
        kind: whole[0],
        body: &whole[HEADER_BYTES..],
        whole,
    })
}

/// What the client sends.
pub(super) mod frontend {
    pub(in super::super) const QUERY: u8 = b'Q';
    pub(in super::super) const PARSE: u8 = b'P';
    pub(in super::super) const BIND: u8 = b'B';
    pub(in super::super) const SYNC: u8 = b'S';
    pub(in super::super) const TERMINATE: u8 = b'X';
    const PASSWORD: u8 = b'p';

    /// `Sync`, whole.
    pub(in super::super) const SYNC_MESSAGE: [u8; 5] = [SYNC, 0, 0, 0, 4];

    /// `Query` with this text.
    pub(in super::super) fn query(text: &str) -> Vec<u8> {
        framed(Some(QUERY), &[text.as_bytes(), b"\0"].concat())
    }

    /// `PasswordMessage` with this password.
    pub(in super::super) fn password(password: &[u8]) -> Vec<u8> {
        framed(Some(PASSWORD), &[password, b"\0"].concat())
    }

    /// `StartupMessage` of version 3.0, which alone has no type.
    pub(in super::super) fn startup(user: &str, database: &str) -> Vec<u8> {
        let text = format!("user\0{user}\0database\0{database}\0client_encoding\0UTF8\0\0");
        framed(None, &[&[0, 3, 0, 0], text.as_bytes()].concat())
    }

    fn framed(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(4 + body.len()).unwrap_or(u32::MAX);
        let mut message = Vec::from_iter(kind);
        message.extend(length.to_be_bytes());
        message.extend(body);
        message
    }
}

/// What the server sends.
pub(super) mod backend {
    pub(in super::super) const AUTHENTICATION: u8 = b'R';
    /// The body of `AuthenticationCleartextPassword`.
    pub(in super::super) const WANTS_PASSWORD: [u8; 4] = [0, 0, 0, 3];
    pub(in super::super) const READY_FOR_QUERY: u8 = b'Z';
    pub(in super::super) const ERROR: u8 = b'E';
    pub(in super::super) const DATA_ROW: u8 = b'D';
    pub(in super::super) const COMMAND_COMPLETE: u8 = b'C';
    pub(in super::super) const NOTIFICATION: u8 = b'A';

    /// The state in `ReadyForQuery` that says: in no transaction.
    pub(in super::super) const IDLE: u8 = b'I';
}

/// The text up to the first zero, and what follows it.
pub(super) fn text(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0);
    let end = end.unwrap_or(bytes.len());
    let rest = bytes.get(end + 1..).unwrap_or_default();
    (std::str::from_utf8(&bytes[..end]).unwrap_or_default(), rest)
}

/// One field of an error: `C` is its SQLSTATE, `M` its message.
pub(super) fn error_field(body: &[u8], field: u8) -> &str {
    let mut rest = body;
    while let Some((kind, after)) = rest.split_first() {
        let (value, next) = text(after);
        if *kind == field {
            return value;
        }
        rest = next;
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_whole_or_not_at_all() {
        let query = frontend::query("SELECT 1");
        let mut half = &query[..7];
        assert!(next(&mut half).is_none());
        let mut both = query.clone();
        both.extend(frontend::SYNC_MESSAGE);
        let mut bytes = both.as_slice();
        let first = next(&mut bytes).unwrap();
        assert_eq!((first.kind, text(first.body).0), (b'Q', "SELECT 1"));
        assert_eq!(next(&mut bytes).unwrap().kind, frontend::SYNC);
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_field_of_an_error_is_found_by_its_letter() {
        let body = b"SERROR\0CPO001\0Mno\0\0";
        assert_eq!(error_field(body, b'C'), "PO001");
        assert_eq!(error_field(body, b'D'), "");
    }
}
