//! Tests how a segment of another format version is refused, and what its check secret is good for. Damage is tested in
//! `tests`.

use super::tests::{TINY, fill, open_with, segment_names, seqs};
use crate::envelope::{Body, Core, IdScheme};
use crate::identity::{Check, CheckSecret, CoreDigest};
use crate::record::NewRecord;
use crate::store::disk::Disk as _;
use crate::store::error::JournalError;
use crate::store::memory_disk::MemoryDisk;
use crate::store::segment;
use crate::store::testing::{START, carrier, core_with, id_of, signed};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// A segment of another version is refused by its version, even if its header is unreadable behind that: a later one
/// may be framed in another way. Nothing is changed, not even a file that a start of this version would tidy up.
#[test]
fn other_format_is_refused_and_nothing_is_changed() {
    for (version, whose) in
        [(1u32, "made before"), (3, "written by a newer"), (u32::MAX, "written by a newer")]
    {
        let disk = MemoryDisk::default();
        let name = segment::file_name(1);
        let bytes = [&b"imeshjnl"[..], &version.to_le_bytes(), &[0x77; 200]].concat();
        disk.put(&name, bytes.clone());
        disk.put("00000000000000000009.seg.new", b"unfinished".to_vec());
        let error = open_with(&disk, TINY, 1).unwrap_err();
        assert!(matches!(&error, JournalError::Format(other) if other.found == version), "{error}");
        assert!(error.to_string().contains(whose), "{error}");
        assert!(!error.hint().contains("aside"), "{}", error.hint());
        assert_eq!(disk.content(&name), Some(bytes));
        assert_eq!(disk.list().unwrap().len(), 2);
    }
}

/// An index is derived, but its version is respected like any other.
#[test]
fn index_of_other_format_is_refused() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..500);
    drop(journal);
    let name = disk.list().unwrap().into_iter().find(|name| name.ends_with(".idx")).unwrap();
    let mut newer = disk.content(&name).unwrap();
    newer[7] = b'9';
    disk.put(&name, newer.clone());
    let error = open_with(&disk, TINY, 2).unwrap_err();
    assert!(matches!(&error, JournalError::Format(other) if other.is_newer()), "{error}");
    assert_eq!(disk.content(&name), Some(newer));
}

/// A peer that got entries 1 and 3 with their checks, and knows everything of entry 2 but its source address, tries
/// every address. With checks that everybody can compute, exactly one guess fits.
#[test]
fn peer_cannot_confirm_guess_of_withheld_entry() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    let withheld = |ip: u8| -> Core {
        let body = format!("{{\"source.ip\":\"192.0.2.{ip}\"}}");
        Core {
            body: Body::Plain(Bytes::from(body)),
            ..core_with(id_of("cert-at", 2), IdScheme::Random, 2, 0, START)
        }
    };
    let second = NewRecord::Carrier(signed(withheld(77), START));
    journal.append(vec![carrier(1), second, carrier(3)]).unwrap();
    let entry = |seq| journal.entry(seq).unwrap().unwrap();
    let (first, third) = (entry(1), entry(3));
    let hashed = |before: &Check, digest: &CoreDigest| -> Check {
        let hash = Sha256::new().chain_update(before.0).chain_update(digest.0).finalize();
        Check(hash[..16].try_into().unwrap())
    };
    let keyed = |before: &Check, digest: &CoreDigest| CheckSecret::new([0; 32]).check_after(before, digest);
    for ip in 0..=255 {
        let guess = signed(withheld(ip), START).envelope.envelope().digest();
        for after in [&hashed as &dyn Fn(&Check, &CoreDigest) -> Check, &keyed] {
            let check = after(&after(&first.check, &guess), &third.envelope.digest());
            assert_ne!(check, third.check, "a peer can confirm that entry 2 has 192.0.2.{ip}");
        }
    }
}

/// The secret belongs to the journal and not to the process: retention, new segments, restarts and a restored backup
/// keep it, so that marks which peers hold stay true.
#[test]
fn checks_stay_same_after_retention_restart_and_restore() {
    let (disk, other) = (MemoryDisk::default(), MemoryDisk::default());
    let (mut journal, _) = open_with(&disk, TINY, 1).unwrap();
    fill(&mut journal, 0..300);
    let backup = disk.snapshot();
    fill(&mut journal, 300..4000);
    let retirement = journal.due(None).unwrap();
    journal.retire(retirement).unwrap();
    let last = journal.last();
    drop(journal);
    let (mut journal, _) = open_with(&disk, TINY, 2).unwrap();
    assert!(segment_names(&disk)[0] > segment::file_name(1), "the first segment was given up");
    assert_eq!(journal.last(), last);
    fill(&mut journal, 4000..4001);
    // The same history again, from a backup: the same checks. In a journal of another secret: others.
    let (mut restored, _) = open_with(&backup, TINY, 3).unwrap();
    fill(&mut restored, 300..4001);
    assert_eq!(restored.last(), journal.last());
    let (mut another, _) = open_with(&other, TINY, 4).unwrap();
    fill(&mut another, 0..4001);
    assert_ne!(another.last(), journal.last());
    assert_eq!(seqs(&another).last(), Some(&journal.last().seq));
}
