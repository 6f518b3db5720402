//! Finds an invitation in a text as mail delivers it: wrapped, quoted, with words around it. Nothing here reads the
//! content of an invitation, or believes it.

use bech32::primitives::checksum::Engine;
use bech32::primitives::gf32::Fe32;
use bech32::{Checksum, Hrp};

use super::{HUMAN_READABLE, InvitationError, LongBech32m};
use crate::limits::INVITATION_CHARS_MAX;

/// The beginning of every invitation.
const BEGINNING: &str = "intelmesh1";

/// Returns the one invitation in `text`, in lower case. It may be there several times, as in a quoted answer.
///
/// # Errors
/// [`InvitationError::NotOne`], [`InvitationError::Damaged`] if a text begins like one but its checksum fits nowhere,
/// and [`InvitationError::Several`].
pub(super) fn extract(text: &str) -> Result<String, InvitationError> {
    let letters = without_mail(text);
    let lower = letters.to_ascii_lowercase();
    let mut found: Option<String> = None;
    let (mut begun, mut from) = (false, 0);
    while let Some(at) = lower[from..].find(BEGINNING) {
        begun = true;
        let start = from + at;
        from = start + BEGINNING.len();
        let Some(length) = length_of(&letters[start..]) else { continue };
        let invitation = &lower[start..start + length];
        if found.as_deref().is_some_and(|known| known != invitation) {
            return Err(InvitationError::Several);
        }
        found = Some(invitation.to_owned());
    }
    match found {
        Some(invitation) => Ok(invitation),
        None if begun => Err(InvitationError::Damaged("its checksum does not fit")),
        None => Err(InvitationError::NotOne),
    }
}

/// `text` without what mailers put into a line: white space of any kind, characters of no width, marks of quotation,
/// and the soft line breaks of quoted-printable.
fn without_mail(text: &str) -> String {
    let mut letters = String::with_capacity(text.len().min(4 * INVITATION_CHARS_MAX));
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '=' {
            let mut ahead = rest.clone();
            let breaks = ahead.by_ref().find(|c| *c == '\n' || *c == '\r' || !c.is_whitespace());
            if breaks.is_none_or(char::is_whitespace) {
                continue;
            }
        }
        if !(c.is_whitespace() || c == '>' || has_no_width(c)) {
            letters.push(c);
        }
    }
    letters
}

fn has_no_width(c: char) -> bool {
    matches!(c, '\u{00AD}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206F}' | '\u{FEFF}')
}

/// Returns how many of the letters at the beginning of `text` are an invitation: up to the one at which its checksum
/// fits. Other letters may follow it.
fn length_of(text: &str) -> Option<usize> {
    let hrp = Hrp::parse(HUMAN_READABLE).ok()?;
    let mut engine = Engine::<LongBech32m>::new();
    engine.input_hrp(hrp);
    // Upper or lower case, as it begins: a change of case is where other words begin.
    let is_upper = text.starts_with(|c: char| c.is_ascii_uppercase());
    let other_case = |c: char| if is_upper { c.is_ascii_lowercase() } else { c.is_ascii_uppercase() };
    if text[..BEGINNING.len()].contains(other_case) {
        return None;
    }
    for (at, c) in text.char_indices().skip(BEGINNING.len()).take(INVITATION_CHARS_MAX - BEGINNING.len()) {
        if other_case(c) {
            return None;
        }
        engine.input_fe(Fe32::from_char(c).ok()?);
        let letters = at + 1 - BEGINNING.len();
        if letters > LongBech32m::CHECKSUM_LENGTH && *engine.residue() == LongBech32m::TARGET_RESIDUE {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invitation::Invitation;
    use crate::invitation::tests::{NOW, invitation, key};

    fn wrapped(text: &str, width: usize, begin: &str, end: &str) -> String {
        let letters: Vec<char> = text.chars().collect();
        let lines = letters.chunks(width).map(|line| line.iter().collect::<String>());
        lines.map(|line| format!("{begin}{line}{end}")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn mailers_forms_of_one_invitation_are_all_read() {
        let given = invitation(1);
        let line = given.make(&key(7)).unwrap();
        let quoted = wrapped(&line, 70, "> ", "");
        let forms = [
            ("as printed", line.clone()),
            ("upper case", line.to_uppercase()),
            ("wrapped at 76", wrapped(&line, 76, "", "")),
            ("wrapped at 40 with CRLF", wrapped(&line, 40, "", "\r")),
            ("flowed", wrapped(&line, 76, "", " ")),
            ("indented", wrapped(&line, 60, "    ", "")),
            ("quoted", quoted.clone()),
            ("quoted twice", wrapped(&line, 66, ">> ", "")),
            ("quoted-printable", wrapped(&line, 75, "", "=")),
            ("quoted-printable with CRLF", wrapped(&line, 75, "", "=\r")),
            ("quoted-printable, blanks behind the break", wrapped(&line, 70, "", "= \t")),
            ("quoted-printable, cut in the first word", format!("intel=\n{}", &line[5..])),
            ("in angle brackets", format!("<{line}>")),
            ("with a full stop", format!("{line}.")),
            ("behind a word", format!("Invitation: {line}")),
            ("in a letter", format!("Hi Ann,\nhere it is:\n\n{line}\n\nBest regards\nBob\n-- \nCERT-EE")),
            ("before letters of its alphabet", format!("{line}\nregards, ada")),
            ("no-break spaces", wrapped(&line, 50, "\u{a0}", "\u{a0}")),
            ("zero width", wrapped(&line, 30, "\u{200b}", "\u{feff}")),
            ("soft hyphens", line.chars().map(|c| format!("{c}\u{ad}")).collect()),
            ("a BOM before it", format!("\u{feff}{line}")),
            (
                "signed by PGP",
                format!(
                    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{line}\n-----BEGIN PGP SIGNATURE-----\n\n\
                     iQIzBAEBCgAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n"
                ),
            ),
            ("answered below", format!("Thanks!\n\nOn Monday Bob wrote:\n{quoted}\n>\n> Best\n\n{line}\n")),
            (
                "that one begins with it is said",
                format!("An invitation begins with intelmesh1, like:\n{line}"),
            ),
        ];
        for (form, text) in forms {
            assert_eq!(Invitation::parse(&text, NOW).as_ref(), Ok(&given), "{form}:\n{text}");
        }
    }

    #[test]
    fn two_different_invitations_in_one_text_are_none() {
        let (one, other) = (invitation(1).make(&key(7)).unwrap(), invitation(0).make(&key(7)).unwrap());
        let both = format!("{one}\n\nOn Monday Bob wrote:\n> {other}\n");
        assert_eq!(Invitation::parse(&both, NOW), Err(InvitationError::Several));
        assert!(Invitation::parse(&format!("{one}\n> {one}"), NOW).is_ok());
    }

    #[test]
    fn what_was_cut_or_changed_is_damaged() {
        let line = invitation(1).make(&key(7)).unwrap();
        for text in [&line[..line.len() - 7], &line.replacen('q', "p", 1), "intelmesh1", "INTELmesh1qqqqqqqq"]
        {
            let read = Invitation::parse(text, NOW);
            assert!(matches!(read, Err(InvitationError::Damaged(_))), "{text}: {read:?}");
        }
    }
}
