//! The archive of a backup: regular files in the form of POSIX (ustar), so that `tar` lists and unpacks it. It reads what
//! it writes, and nothing else: no links, directories or devices. Which names a backup may have is not known here.

const BLOCK: usize = 512;
/// Of the field of the header.
const PATH_BYTES_MAX: usize = 100;

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ArchivedFile {
    /// With `/` between its parts.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// Returns the archive; `None` if a path is too long for its field.
pub(crate) fn write(files: &[ArchivedFile], at_s: u64) -> Option<Vec<u8>> {
    let mut archive = Vec::new();
    for file in files {
        archive.extend(header(file, at_s)?);
        archive.extend(&file.bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Some(archive)
}

fn header(file: &ArchivedFile, at_s: u64) -> Option<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let path = file.path.as_bytes();
    if path.len() > PATH_BYTES_MAX {
        return None;
    }
    block[..path.len()].copy_from_slice(path);
    octal(&mut block[100..108], 0o600)?;
    octal(&mut block[108..116], 0)?;
    octal(&mut block[116..124], 0)?;
    octal(&mut block[124..136], file.bytes.len() as u64)?;
    octal(&mut block[136..148], at_s)?;
    block[156] = b'0';
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum = checksum(&block);
    octal(&mut block[148..155], sum)?;
    block[155] = b' ';
    Some(block)
}

/// The digits of `number`, and a zero byte.
fn octal(field: &mut [u8], number: u64) -> Option<()> {
    let digits = format!("{number:0width$o}\0", width = field.len() - 1);
    (digits.len() == field.len()).then(|| field.copy_from_slice(digits.as_bytes()))
}

/// Its own field counts as blanks.
fn checksum(block: &[u8]) -> u64 {
    let others = block[..148].iter().chain(&block[156..]);
    others.map(|byte| u64::from(*byte)).sum::<u64>() + 8 * u64::from(b' ')
}

/// Returns the files; `None` if this is not such an archive, or not all of it.
pub(crate) fn read(mut archive: &[u8]) -> Option<Vec<ArchivedFile>> {
    let mut files = Vec::new();
    loop {
        let (block, rest) = archive.split_at_checked(BLOCK)?;
        if block.iter().all(|byte| *byte == 0) {
            return Some(files);
        }
        let is_file = matches!(block[156], b'0' | 0) && block.get(257..262) == Some(b"ustar".as_slice());
        if !is_file || number(&block[148..156])? != checksum(block) {
            return None;
        }
        let path = String::from_utf8(until_zero(&block[..PATH_BYTES_MAX]).to_vec()).ok()?;
        let length = usize::try_from(number(&block[124..136])?).ok()?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        files.push(ArchivedFile { path, bytes: bytes.to_vec() });
        archive = rest.get(length.next_multiple_of(BLOCK) - length..)?;
    }
}

fn number(field: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(until_zero(field)).ok()?;
    u64::from_str_radix(digits.trim(), 8).ok()
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<ArchivedFile> {
        let file = |path: &str, length| ArchivedFile { path: path.to_owned(), bytes: vec![7; length] };
        vec![file("intelmesh.toml", 0), file("keys/node.pem", 512), file(&"x".repeat(100), 513)]
    }

    #[test]
    fn what_was_written_is_read_and_a_part_of_it_is_not() {
        let archive = write(&files(), 1_700_000_000).unwrap();
        assert!(read(&archive) == Some(files()));
        // Of the two blocks at the end one is enough.
        for length in 0..archive.len() - BLOCK {
            assert!(read(&archive[..length]).is_none(), "{length}");
        }
        let long = ArchivedFile { path: "x".repeat(101), bytes: Vec::new() };
        assert!(write(&[long], 0).is_none());
    }

    #[test]
    fn no_damage_of_a_header_is_read() {
        let archive = write(&files(), 1_700_000_000).unwrap();
        for at in 0..BLOCK {
            for bit in 0..8 {
                let mut damaged = archive.clone();
                damaged[at] ^= 1 << bit;
                assert!(read(&damaged) != Some(files()) || (148..156).contains(&at), "{at}");
            }
        }
    }
}
