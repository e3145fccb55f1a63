//! The cases that are learned from: in memory where they are few, else in the cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use lamina_io::dataset::Case;
use ndarray::{Array2, Array4, Axis};
use rayon::prelude::*;

use super::cache::Cache;
use super::file::{CachedCase, Facts};
use crate::augment::Planes;
use crate::error::EngineError;
use crate::fingerprint::CaseTraits;
use crate::preprocess::{ColorScale, neighbors};
use crate::training::cases::read_all;
use crate::training::{CaseReader, Samples, TrainingCase};

/// Prepared cases of together no more than this are held in memory, and more are read from the
/// cache slice by slice.
pub(in crate::training) const HELD_BYTES: u64 = 1 << 30;

/// Cases to learn from.
#[derive(Debug)]
pub struct TrainingSet {
    cases: Vec<SetCase>,
}

#[derive(Debug)]
struct SetCase {
    facts: Facts,
    held: Held,
}

#[derive(Debug)]
enum Held {
    InMemory(TrainingCase),
    InCache(CachedCase, Arc<Origin>),
}

/// What a damaged case is built from again.
#[derive(Debug)]
struct Origin {
    case: Case,
    key: String,
    reader: CaseReader,
    cache: Cache,
}

impl Origin {
    fn build(&self) -> Result<(TrainingCase, Facts), EngineError> {
        let (case, traits) = self.reader.training(&self.case)?;
        let facts = Facts::of(&case, traits);
        Ok((case, facts))
    }
}

/// A slice with its neighbors, as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedSlice {
    /// What is seen of it and its neighbors.
    pub planes: LoadedPlanes,
    /// Its labels: `[height, width]`.
    pub labels: Array2<u8>,
}

/// Samples of a slice and its neighbors: `[slice, channel, height, width]`.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadedPlanes {
    /// Numbers.
    Numbers(Array4<f32>),
    /// Bytes that stand for 0 to 1.
    Bytes(Array4<u8>),
}

impl LoadedPlanes {
    /// To be moved onto a patch.
    pub fn view(&self) -> Planes<'_> {
        match self {
            Self::Numbers(planes) => Planes::Numbers(planes.view()),
            Self::Bytes(planes) => Planes::Bytes(planes.view()),
        }
    }
}

impl TrainingSet {
    /// Cases in memory.
    pub fn held(cases: Vec<(TrainingCase, CaseTraits)>) -> Self {
        let case = |(case, traits)| {
            let facts = Facts::of(&case, traits);
            SetCase { facts, held: Held::InMemory(case) }
        };
        Self { cases: cases.into_par_iter().map(case).collect() }
    }

    /// Reads cases on all threads; with a cache only those that it does not hold.
    ///
    /// Without one all of them are held in memory; else only where together they are small.
    ///
    /// # Errors
    /// That of the first case that cannot be read, or of a cache that cannot be written.
    pub fn read(
        cases: &[Case],
        reader: &CaseReader,
        cache: Option<&Cache>,
    ) -> Result<Self, EngineError> {
        Self::read_within(cases, reader, cache, HELD_BYTES)
    }

    /// [`read`](Self::read), holding no more than `held_bytes` in memory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_within(
        cases: &[Case],
        reader: &CaseReader,
        cache: Option<&Cache>,
        held_bytes: u64,
    ) -> Result<Self, EngineError> {
        let Some(cache) = cache else {
            return Ok(Self::held(read_all(cases, |case| reader.training(case))?));
        };
        let cached = read_all(cases, |case| {
            let key = Cache::key(case, reader)?;
            let (case, reader, cache) = (case.clone(), reader.clone(), cache.clone());
            let origin = Origin { case, key, reader, cache };
            let cached = origin.cache.get(&origin.key, || origin.build())?;
            Ok((cached, Arc::new(origin)))
        })?;
        let keys: Vec<String> = cached.iter().map(|(_, origin)| origin.key.clone()).collect();
        cache.trim(&keys);
        let bytes: u64 = cached.iter().map(|(cached, _)| cached.facts.bytes()).sum();
        let hold = bytes <= held_bytes;
        let case = |(cached, origin): (CachedCase, Arc<Origin>)| {
            let facts = cached.facts.clone();
            if !hold {
                return Ok(SetCase { facts, held: Held::InCache(cached, origin) });
            }
            let case = match cached.read_all() {
                Ok(case) => case,
                Err(_) => origin.mend(CachedCase::read_all)?,
            };
            Ok(SetCase { facts, held: Held::InMemory(case) })
        };
        let cases: Result<Vec<SetCase>, EngineError> = cached.into_par_iter().map(case).collect();
        Ok(Self { cases: cases? })
    }

    /// How many cases there are.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// What each case is like.
    pub fn traits(&self) -> Vec<CaseTraits> {
        self.cases.iter().map(|case| case.facts.traits.clone()).collect()
    }

    /// Slices, channels, height and width of a case.
    pub fn shape(&self, case: usize) -> [usize; 4] {
        self.cases[case].facts.shape
    }

    /// How many pixels of a slice have which label.
    pub fn counts(&self, case: usize, slice: usize) -> &BTreeMap<u8, u64> {
        &self.cases[case].facts.counts[slice]
    }

    /// How the colors of a case are normalized once they are varied; `None` of gray cases.
    pub fn color_scale(&self, case: usize) -> Option<&ColorScale> {
        self.cases[case].facts.kind.color_scale()
    }

    /// A slice with `reach` neighbors on either side. What is damaged in the cache is mended.
    ///
    /// # Errors
    /// Where it cannot be read, nor built again.
    pub fn slice(
        &self,
        case: usize,
        slice: usize,
        reach: usize,
    ) -> Result<LoadedSlice, EngineError> {
        let SetCase { facts, held } = &self.cases[case];
        let near: Vec<usize> = neighbors(slice, reach, facts.shape[0]).collect();
        match held {
            Held::InMemory(case) => Ok(LoadedSlice {
                planes: match &case.samples {
                    Samples::Numbers(samples) | Samples::Unit(samples, _) => {
                        LoadedPlanes::Numbers(samples.select(Axis(0), &near))
                    }
                    Samples::Bytes(samples, _) => {
                        LoadedPlanes::Bytes(samples.select(Axis(0), &near))
                    }
                },
                labels: case.labels.index_axis(Axis(0), slice).to_owned(),
            }),
            Held::InCache(cached, origin) => match cached.read(&near, slice) {
                Ok(loaded) => Ok(loaded),
                Err(_) => origin.mend(|cached| cached.read(&near, slice)),
            },
        }
    }
}

impl Origin {
    /// Builds the case again and reads from it.
    fn mend<T>(
        &self,
        read: impl FnOnce(&CachedCase) -> std::io::Result<T>,
    ) -> Result<T, EngineError> {
        tracing::warn!(key = self.key, "a prepared case is damaged or gone and is built again");
        let mended = self.cache.mend(&self.key, || self.build())?;
        read(&mended)
            .map_err(|source| EngineError::Read { path: self.cache.folder().to_path_buf(), source })
    }
}
