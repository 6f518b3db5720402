//! Parts derived from the journal that are lost, or older than the rest, as after a copy of a running node or a damaged
//! directory: they are noticed, and nothing is taken twice. Whole images are `crash_images`'.

use std::collections::{BTreeMap, BTreeSet};

use super::crash_images::{Looked, run};
use crate::files::recorder::{CrashImage, each_image, record};

/// Files of seen set and link index, one at a time: gone, or as they were at any earlier flush. So are directories of
/// days. The journal is as it is.
#[test]
fn lost_or_older_parts_of_derived_data_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let ops = record(|| run(dir.path(), 1));
    let mut versions: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut newest = CrashImage::new();
    let mut last = 0;
    each_image(dir.path(), &ops, |image, told| {
        for (file, bytes) in image.iter().filter(|(file, _)| is_derived(file)) {
            versions.entry(file.clone()).or_default().insert(bytes.clone());
        }
        // The last image that is looked at is that of the whole run.
        newest.clone_from(image);
        last = told.last().copied().unwrap_or(0);
    });
    let mut looked = Looked::default();
    let derived: Vec<String> = newest.keys().filter(|file| is_derived(file)).cloned().collect();
    for file in &derived {
        let mut without = newest.clone();
        without.retain(|other, _| !other.starts_with(file.as_str()));
        looked.at(&without, last);
        if !file.ends_with('/') {
            for bytes in versions[file].iter().filter(|bytes| **bytes != newest[file]) {
                let mut older = newest.clone();
                older.insert(file.clone(), bytes.clone());
                looked.at(&older, last);
            }
        }
    }
    let images = looked.opened;
    looked.report(images);
}

fn is_derived(file: &str) -> bool {
    (file.starts_with("seen/") || file.starts_with("links/")) && !file.contains(".unfinished-")
}
