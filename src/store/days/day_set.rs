//! The days of one database: what an earlier process left of each, and when they go. Both databases share this; what a
//! day keeps in memory is its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{DayFiles, DayKind};
use super::filter::BloomLayers;
use crate::store::seen::{CoveredPlace, Emptied, SeenError};

#[derive(Debug)]
pub(crate) struct DaySet<D> {
    aside: PathBuf,
    pub files: Arc<DayFiles>,
    /// By number.
    pub days: BTreeMap<u32, D>,
    /// The covered place that an earlier process left, or the damage.
    left: Result<Option<CoveredPlace>, SeenError>,
}

impl<D> DaySet<D> {
    /// Reads what is covered, and each day's filters, but opens no day whose filters are whole; `scan` makes filters
    /// again, and `restore` makes a day of its filters.
    ///
    /// # Errors
    /// [`SeenError::Io`]: the directory cannot be read.
    pub(crate) fn open(
        dir: &Path,
        aside: &Path,
        kind: DayKind,
        scan: impl Fn(&DayFiles, u32) -> Result<Vec<BloomLayers>, SeenError>,
        restore: impl Fn(Vec<BloomLayers>) -> D,
    ) -> Result<Self, SeenError> {
        let files = Arc::new(DayFiles::open(dir, kind)?);
        let (days, left) = match files.left(|day| scan(&files, day)) {
            Ok(None) => (BTreeMap::new(), Ok(None)),
            Ok(Some(left)) => {
                let days = left.days.into_iter().map(|(number, filters)| (number, restore(filters)));
                (days.collect(), Ok(Some(left.covered)))
            }
            Err(damage @ SeenError::Corrupt { .. }) => (BTreeMap::new(), Err(damage)),
            Err(fault) => return Err(fault),
        };
        Ok(Self { aside: aside.to_owned(), files, days, left })
    }

    /// Takes what an earlier process left: the place that is covered, or the damage.
    pub(crate) fn covered(&mut self) -> Result<Option<CoveredPlace>, SeenError> {
        std::mem::replace(&mut self.left, Ok(None))
    }

    /// # Errors
    /// [`SeenError::Io`].
    pub(crate) fn remove_below(&mut self, day: u32) -> Result<(), SeenError> {
        for gone in self.files.forget_below(day, self.days.keys().copied())? {
            self.days.remove(&gone);
        }
        Ok(())
    }

    /// # Errors
    /// [`SeenError::Io`].
    pub(crate) fn empty(&mut self, why: Emptied) -> Result<(), SeenError> {
        self.days.clear();
        let aside = (why == Emptied::Corrupt).then_some(self.aside.as_path());
        self.files = Arc::new(self.files.replace(aside)?);
        Ok(())
    }
}
