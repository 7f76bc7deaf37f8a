//! All tiles of a matrix, in a fixed order, on all threads.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use datafusion::common::Result;
use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};

use super::frame::{Block, Frame, MaskedBlock};
use super::select::{Bounds, Pair, Strongest};
use super::tile::{Tile, Wanted};
use super::workspace::{Sizes, Workspace};

/// Blocks of each side whose tiles are computed one after another, so that a block that is not held is prepared once for as many tiles.
const BLOCKS_PER_SIDE: usize = 8;

/// A matrix of pairs, or part of one.
pub(super) struct Search<'a> {
    pub(super) left: Side<'a>,
    pub(super) right: Side<'a>,
    /// Whether both sides are the same, so that a block is made ready once.
    pub(super) one_side: bool,
    pub(super) wanted: Wanted,
    /// Whether pairs without a common row are left out.
    pub(super) joined: bool,
    pub(super) bounds: Bounds,
    /// Where the strongest pairs are gathered, if only those are wanted.
    pub(super) strongest: Option<&'a Strongest>,
    /// Whether the pairs of two complete series have been found already.
    pub(super) complete_done: bool,
    pub(super) workspace: &'a Workspace,
}

/// The series of one side, in blocks: first the complete ones, then the others.
pub(super) struct Side<'a> {
    frame: &'a Frame,
    parts: Vec<Part>,
}

/// The series of one block.
#[derive(PartialEq)]
enum Part {
    /// A block of the frame.
    Whole(usize),
    /// Complete series out of several blocks.
    Complete(Vec<u32>),
    /// Series that lack periods.
    Incomplete(Vec<u32>),
}

impl<'a> Side<'a> {
    /// All series of a frame, or those that `chosen` marks.
    pub(super) fn new(frame: &'a Frame, chosen: Option<&[bool]>) -> Self {
        let some = |series: &[u32]| -> Vec<u32> {
            series.iter().copied().filter(|&one| chosen.is_none_or(|chosen| chosen[one as usize])).collect()
        };
        let complete = some(&frame.complete);
        let mut parts: Vec<Part> = if complete.len() == frame.complete.len() {
            (0..frame.block_count()).map(Part::Whole).collect()
        } else {
            complete.chunks(frame.block_rows()).map(|series| Part::Complete(series.to_vec())).collect()
        };
        parts.extend(some(&frame.incomplete).chunks(frame.block_rows()).map(|series| Part::Incomplete(series.to_vec())));
        Self { frame, parts }
    }

    fn series(&self, part: usize) -> &[u32] {
        match &self.parts[part] {
            Part::Whole(block) => self.frame.block_series(*block),
            Part::Complete(series) | Part::Incomplete(series) => series,
        }
    }

    fn is_complete(&self, part: usize) -> bool {
        !matches!(self.parts[part], Part::Incomplete(_))
    }

    /// Whether the other side has the same blocks.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.frame, other.frame) && self.parts == other.parts
    }

    /// Bytes of a block that is made ready.
    fn bytes(&self, part: usize, masked: bool, sizes: &Sizes) -> usize {
        let rows = self.series(part).len();
        match &self.parts[part] {
            _ if masked => rows * sizes.masked_row,
            Part::Whole(block) if self.frame.holds(*block) => 0,
            _ => rows * sizes.row,
        }
    }

    fn complete(&self, part: usize) -> Result<Arc<Block>> {
        match &self.parts[part] {
            Part::Whole(block) => self.frame.block(*block),
            Part::Complete(series) | Part::Incomplete(series) => Ok(Arc::new(self.frame.gather(series)?)),
        }
    }
}

/// A block in the form that a tile needs.
enum Ready {
    Complete(Arc<Block>),
    Masked(Arc<MaskedBlock>),
}

/// A block of one side in one form: whether it is of the right side alone, its number, whether it is masked.
type Form = (bool, usize, bool);

impl Search<'_> {
    /// Number of tiles.
    pub(super) fn tile_count(&self) -> usize {
        (0..self.left.parts.len()).map(|left| (0..self.right.parts.len()).filter(|&right| self.has_pairs(left, right)).count()).sum()
    }

    /// Computes all tiles. The pairs of each go to `sink`, in the order of the tiles, until it breaks.
    ///
    /// # Errors
    /// The scratch file cannot be read; nobody waits any more.
    pub(super) fn run(&self, sink: &mut dyn FnMut(Vec<Pair>) -> ControlFlow<()>) -> Result<ControlFlow<()>> {
        for left in ranges(self.left.parts.len()) {
            for right in ranges(self.right.parts.len()) {
                let tiles: Vec<(usize, usize)> = left
                    .clone()
                    .flat_map(|row| right.clone().map(move |column| (row, column)))
                    .filter(|&(row, column)| self.has_pairs(row, column))
                    .collect();
                if self.run_together(&tiles, sink)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Computes tiles, with as many blocks ready at a time as there is memory for.
    fn run_together(&self, tiles: &[(usize, usize)], sink: &mut dyn FnMut(Vec<Pair>) -> ControlFlow<()>) -> Result<ControlFlow<()>> {
        let bytes = |together: usize| tiles.chunks(together).map(|some| self.bytes(some)).max().unwrap_or(0);
        let together = self.workspace.pieces(tiles.len(), bytes);
        for some in tiles.chunks(together) {
            let forms = self.forms_of(some).into_par_iter();
            let ready: HashMap<Form, Ready> = forms.map(|form| Ok((form, self.ready(form)?))).collect::<Result<_>>()?;
            // Not more at a time than the threads need: the pairs of a tile wait for those before them.
            for some in some.chunks(tiles_in_flight()) {
                let found: Vec<Vec<Pair>> = some.par_iter().map(|&tile| self.tile(tile, &ready)).collect::<Result<_>>()?;
                for pairs in found {
                    if sink(pairs).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Bytes that tiles take when their blocks are ready together.
    fn bytes(&self, tiles: &[(usize, usize)]) -> usize {
        let sizes = &self.workspace.sizes;
        let of_form = |(of_right, part, masked): Form| self.side(of_right).bytes(part, masked, sizes);
        let blocks: usize = self.forms_of(tiles).into_iter().map(of_form).sum();
        blocks + tiles.len().min(tiles_in_flight()) * sizes.tile
    }

    fn forms_of(&self, tiles: &[(usize, usize)]) -> Vec<Form> {
        let mut forms: Vec<Form> = tiles.iter().flat_map(|&tile| self.forms(tile)).collect();
        forms.sort_unstable();
        forms.dedup();
        forms
    }

    fn side(&self, of_right: bool) -> &Side<'_> {
        if of_right { &self.right } else { &self.left }
    }

    fn has_pairs(&self, left: usize, right: usize) -> bool {
        if self.complete_done && self.left.is_complete(left) && self.right.is_complete(right) {
            return false;
        }
        let (first, last) = (self.left.series(left).first(), self.right.series(right).last());
        let above = |include: fn(&u32, &u32) -> bool| first.zip(last).is_some_and(|(a, b)| include(a, b));
        match self.wanted {
            Wanted::Less => above(|a, b| a < b),
            Wanted::LessOrEqual => above(|a, b| a <= b),
            Wanted::Different | Wanted::All => true,
        }
    }

    fn forms(&self, (left, right): (usize, usize)) -> [Form; 2] {
        let masked = !(self.left.is_complete(left) && self.right.is_complete(right));
        [(false, left, masked), (!self.one_side, right, masked)]
    }

    fn ready(&self, (of_right, part, masked): Form) -> Result<Ready> {
        let side = self.side(of_right);
        Ok(match masked {
            true => Ready::Masked(Arc::new(side.frame.masked(side.series(part))?)),
            false => Ready::Complete(side.complete(part)?),
        })
    }

    fn tile(&self, place: (usize, usize), ready: &HashMap<Form, Ready>) -> Result<Vec<Pair>> {
        let bounds = self.strongest.map_or(self.bounds, |strongest| self.bounds.and(strongest.bounds()));
        let tile = Tile { left: self.left.frame, right: self.right.frame, wanted: self.wanted, bounds, joined: self.joined };
        let [left, right] = self.forms(place).map(|form| ready.get(&form));
        match (left, right) {
            (Some(Ready::Complete(left)), Some(Ready::Complete(right))) => tile.of_complete(left, right),
            (Some(Ready::Masked(left)), Some(Ready::Masked(right))) => tile.of_any(left, right),
            _ => Ok(vec![]),
        }
    }
}

/// Tiles that are computed before their pairs are handed on.
fn tiles_in_flight() -> usize {
    rayon::current_num_threads() * 2
}

fn ranges(parts: usize) -> impl Iterator<Item = Range<usize>> {
    (0..parts).step_by(BLOCKS_PER_SIDE).map(move |start| start..parts.min(start + BLOCKS_PER_SIDE))
}
