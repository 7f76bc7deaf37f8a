//! One execution of the operator: gather the series, then search the matrix on threads of its own.

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::conditions::{Chosen, Conditions};
use super::device::{Device, DevicePanels, ResidentPanel, Task, Work};
use super::frame::{Frame, Scope};
use super::gathered::{Gathered, Infinities};
use super::output::Output;
use super::panel::Panel;
use super::periods::Period;
use super::query::{Origin, PairQuery, PeriodTypes, Rolling, Shape};
use super::search::{Search, Side};
use super::select::{Bounds, Pair, Strongest, Top};
use super::summary::Summaries;
use super::tile::Wanted;
use super::waiting::Waiting;
use super::workspace::Workspace;
use crate::config::{GpuUse, SqlOptions};
use crate::exec::progress::{DONE, WORK};

/// Where batches go.
type Batches = Sender<Result<RecordBatch>>;

/// What one execution needs to know.
pub(super) struct Run {
    pub(super) query: PairQuery,
    pub(super) types: PeriodTypes,
    pub(super) schema: SchemaRef,
    pub(super) filters: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) top: Option<Top>,
    pub(super) options: SqlOptions,
    /// What the series are made of, where a device may keep them.
    pub(super) identity: Option<String>,
    pub(super) context: Arc<TaskContext>,
    pub(super) metrics: ExecutionPlanMetricsSet,
}

impl Run {
    /// Reads the inputs and sends the pairs.
    ///
    /// # Errors
    /// Input that is refused, memory that is refused, a scratch file that fails.
    pub(super) async fn run(self, inputs: Vec<SendableRecordBatchStream>, sender: Batches) -> Result<()> {
        if self.options.gpu == GpuUse::Required {
            // Before anything is read.
            Device::open(&self.options)?;
        }
        let run = Arc::new(self);
        if let Some(resident) = run.resident() {
            let (run, sender) = (Arc::clone(&run), sender.clone());
            let searched = tokio::task::spawn_blocking(move || run.search_resident(&resident, &sender));
            if searched.await.map_err(|error| DataFusionError::External(Box::new(error)))??.is_some() {
                return Ok(());
            }
        }
        run.read_and_search(inputs, sender).await
    }

    async fn read_and_search(self: Arc<Self>, inputs: Vec<SendableRecordBatchStream>, sender: Batches) -> Result<()> {
        let panels = {
            let timer = MetricBuilder::new(&self.metrics).subset_time("gather_time", 0);
            let _timed = timer.timer();
            self.panels(inputs, &Waiting::behind(&sender)).await?
        };
        let threads = self.context.session_config().target_partitions().max(1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| exec_datafusion_err!("starting {threads} threads: {error}"))?;
        let searched = tokio::task::spawn_blocking(move || pool.install(|| self.search(panels, &sender)));
        searched.await.map_err(|error| DataFusionError::External(Box::new(error)))?
    }

    async fn panels(&self, inputs: Vec<SendableRecordBatchStream>, waiting: &Waiting) -> Result<Vec<Panel>> {
        let mut gathered = vec![];
        for mut input in inputs {
            let memory = MemoryConsumer::new("CorrelationExec").with_can_spill(true).register(self.context.memory_pool());
            let infinities = if self.query.origin == Origin::Function { Infinities::Refused } else { Infinities::Kept };
            let mut series = Gathered::new(memory, infinities, self.types.date.clone());
            let names = input.schema().field(0).data_type().clone();
            while let Some(batch) = input.next().await.transpose()? {
                series.push(&batch, waiting)?;
            }
            gathered.push((series, names));
        }
        let axis = common_axis(&gathered.iter().map(|(series, _)| series).collect::<Vec<_>>());
        gathered.into_iter().map(|(series, names)| Panel::try_new(series, axis.clone(), &names)).collect()
    }

    /// The series of this query, where an earlier one has left them on a device.
    fn resident(&self) -> Option<Arc<ResidentPanel>> {
        let panels = self.device_panels()?;
        let usable = self.options.gpu != GpuUse::Off && self.query.rolling.is_none() && self.query.shape == Shape::Pairs;
        usable.then(|| panels.get(self.identity.as_deref()?)).flatten()
    }

    fn device_panels(&self) -> Option<Arc<DevicePanels>> {
        self.context.session_config().get_extension::<DevicePanels>()
    }

    /// Searches series on a device; `None` where it cannot be done there.
    fn search_resident(&self, resident: &ResidentPanel, sender: &Batches) -> Result<Option<()>> {
        let names = [Arc::clone(&resident.names), Arc::clone(&resident.names)];
        let output = self.output(names);
        let chosen = output.conditions.chosen((&resident.names, &resident.names), &self.schema)?;
        let Some(device) = Device::open(&self.options)? else { return Ok(None) };
        let found = Found { run: self, output: &output, chosen: &chosen, sender };
        if !found.is_whole() {
            return Ok(None);
        }
        self.count_on_device(1);
        let done = found.with_task(None, |task| device.in_panel(resident, task))?;
        Ok(done.map(|_| ()))
    }

    fn output(&self, names: [ArrayRef; 2]) -> Output {
        Output {
            schema: Arc::clone(&self.schema),
            names,
            types: self.types.clone(),
            conditions: Conditions::of(&self.filters, self.query.measure_column(), self.query.origin == Origin::SelfJoin),
            batch_rows: self.context.session_config().batch_size(),
        }
    }

    fn search(&self, panels: Vec<Panel>, sender: &Batches) -> Result<()> {
        let (Some(first), Some(last)) = (panels.first(), panels.last()) else { return Ok(()) };
        let output = self.output([Arc::clone(&first.names), Arc::clone(&last.names)]);
        let chosen = output.conditions.chosen((&first.names, &last.names), &self.schema)?;
        self.count(&panels);
        let found = Found { run: self, output: &output, chosen: &chosen, sender };
        match self.query.rolling {
            None => found.in_all_periods(panels),
            Some(rolling) => found.in_windows(panels, rolling),
        }
    }

    fn count_on_device(&self, searches: usize) {
        MetricBuilder::new(&self.metrics).global_counter("searches_on_gpu").add(searches);
    }

    fn count(&self, panels: &[Panel]) {
        let count = |name: &'static str, value: usize| MetricBuilder::new(&self.metrics).global_counter(name).add(value);
        count("series", panels.iter().map(Panel::count).sum());
        count("periods", panels.first().map_or(0, |panel| panel.axis.len()));
    }

    fn count_spilled(&self, panels: &[Panel]) {
        let bytes = panels.iter().map(|panel| panel.spilled_bytes() as usize).sum();
        MetricBuilder::new(&self.metrics).global_counter("spilled_bytes").add(bytes);
    }
}

/// The periods that all relations have.
fn common_axis(gathered: &[&Gathered]) -> Vec<Period> {
    let [first, others @ ..] = gathered else { return vec![] };
    let mut axis = first.periods.in_time_order();
    for other in others {
        let theirs: HashSet<Period> = other.periods.in_time_order().into_iter().collect();
        axis.retain(|period| theirs.contains(period));
    }
    axis
}

/// The search of one matrix, and where its pairs go.
struct Found<'a> {
    run: &'a Run,
    output: &'a Output,
    chosen: &'a [Chosen],
    sender: &'a Batches,
}

impl Found<'_> {
    fn in_all_periods(&self, mut panels: Vec<Panel>) -> Result<()> {
        let gives = !panels.iter().any(Panel::has_gaps);
        let periods = panels.first().map_or(0, |panel| panel.axis.len());
        let possible = panels.iter().map(Panel::count).max().map_or(0, |most| most.saturating_mul(most));
        let strongest = self.run.strongest(possible, &mut panels)?;
        let (workspace, waiting) = (self.workspace(&mut panels, periods)?, Waiting::behind(self.sender));
        self.run.count_spilled(&panels);
        let scope = Scope { measure: self.run.query.measure, workspace: &workspace, waiting: &waiting };
        let frames = panels.into_iter().map(|panel| Frame::of_all(panel, gives, &scope)).collect::<Result<Vec<_>>>()?;
        if self.run.query.shape != Shape::Pairs {
            return self.summary(&frames, &workspace);
        }
        let on_device = self.on_device(&frames, strongest.as_ref())?;
        let flow = match on_device {
            Some(flow) if flow.is_break() || frames.iter().all(|frame| frame.incomplete.is_empty()) => flow,
            done => {
                let searches = self.searches(&frames, done.is_some(), (strongest.as_ref(), &workspace));
                self.in_searches(&searches, None, &mut Tiles::plan(&self.run.metrics, &searches, 1))?
            }
        };
        if let (ControlFlow::Continue(()), Some(strongest)) = (flow, strongest) {
            // Nobody may wait for them any more.
            let _flow = self.send(&strongest.finish(), None)?;
        }
        Ok(())
    }

    fn workspace(&self, panels: &mut [Panel], periods: usize) -> Result<Workspace> {
        Workspace::try_new(self.run.context.memory_pool(), panels, periods, self.run.query.measure)
    }

    fn summary(&self, frames: &[Frame], workspace: &Workspace) -> Result<()> {
        let Some(frame) = frames.first() else { return Ok(()) };
        let memory = MemoryConsumer::new("CorrelationExec: the summary").register(self.run.context.memory_pool());
        let mut summaries = Summaries::new(frame.panel().count());
        memory.try_grow(summaries.size_bytes())?;
        if self.run.query.shape == Shape::Averages && frame.incomplete.is_empty() {
            summaries = Summaries::of_averages(frame)?;
        } else {
            let (left, right) = (Side::new(frame, None), Side::new(frame, None));
            let (bounds, wanted) = (Bounds::DEFINED, Wanted::Less);
            let search =
                Search { left, right, one_side: true, wanted, joined: false, bounds, strongest: None, complete_done: false, workspace };
            let mut sink = |pairs: Vec<Pair>| {
                summaries.add(&pairs);
                if self.sender.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let searches = [search];
            let mut tiles = Tiles::plan(&self.run.metrics, &searches, 1);
            if self.counted(&searches[0], &mut tiles, &mut sink)?.is_break() {
                return Ok(());
            }
        }
        let batch = summaries.batch(&frame.panel().names, &self.run.schema)?;
        for start in (0..batch.num_rows()).step_by(self.output.batch_rows.max(1)) {
            let rows = self.output.batch_rows.max(1).min(batch.num_rows() - start);
            if self.sender.blocking_send(Ok(batch.slice(start, rows))).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Every pair in every window: the strongest of all windows cannot be told before the last one, and are left to the plan above.
    fn in_windows(&self, mut panels: Vec<Panel>, rolling: Rolling) -> Result<()> {
        let periods = panels.first().map_or(0, |panel| panel.axis.len());
        if panels.iter().any(|panel| panel.count() == 0) {
            return Ok(());
        }
        if rolling.periods > periods {
            return exec_err!(
                "a window of {} periods is longer than the {periods} periods that there are: choose a shorter one",
                rolling.periods
            );
        }
        let (workspace, waiting) = (self.workspace(&mut panels, rolling.periods)?, Waiting::behind(self.sender));
        self.run.count_spilled(&panels);
        let scope = Scope { measure: self.run.query.measure, workspace: &workspace, waiting: &waiting };
        let panels: Vec<Arc<Panel>> = panels.into_iter().map(Arc::new).collect();
        let mut tiles = None;
        for window in windows(periods, rolling) {
            let frame = |panel: &Arc<Panel>| Frame::of_window(panel, window.clone(), &scope);
            let frames = panels.iter().map(frame).collect::<Result<Vec<_>>>()?;
            let end = panels.first().map(|panel| panel.axis[window.end - 1]);
            let searches = self.searches(&frames, false, (None, &workspace));
            let tiles = tiles.get_or_insert_with(|| Tiles::plan(&self.run.metrics, &searches, windows(periods, rolling).count()));
            if self.in_searches(&searches, end, tiles)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Whether no condition on names leaves a part of the matrix alone.
    fn is_whole(&self) -> bool {
        matches!(self.chosen, [Chosen { a: None, b: None }])
    }

    /// The pairs of complete series by a device; `None` where it cannot do it or does not pay.
    fn on_device(&self, frames: &[Frame], strongest: Option<&Strongest>) -> Result<Option<ControlFlow<()>>> {
        let (Some(left), Some(right)) = (frames.first(), frames.last()) else { return Ok(None) };
        let work = Work::of(left, right, self.run.query.wanted, rayon::current_num_threads());
        if !self.is_whole() {
            return Ok(None);
        }
        let Some(device) = Device::for_work(&self.run.query, &self.run.options, &work)? else { return Ok(None) };
        self.run.count_on_device(1);
        let panels = self.run.device_panels();
        let key = panels.as_deref().zip(self.run.identity.as_deref());
        self.with_task(strongest, |task| device.in_frames([left, right], key, task))
    }

    /// Has a device search, its pairs going where those of the CPU go.
    fn with_task(
        &self,
        strongest: Option<&Strongest>,
        search: impl FnOnce(Task<'_>) -> Result<Option<ControlFlow<()>>>,
    ) -> Result<Option<ControlFlow<()>>> {
        let Run { query, top, .. } = self.run;
        let bounds = self.output.conditions.bounds();
        self.taking(None, strongest, |sink| search(Task { wanted: query.wanted, bounds, top: *top, sink }))
    }

    /// Runs a search with a sink that takes its pairs.
    fn taking<T>(
        &self,
        end: Option<Period>,
        strongest: Option<&Strongest>,
        search: impl FnOnce(&mut dyn FnMut(Vec<Pair>) -> ControlFlow<()>) -> Result<T>,
    ) -> Result<T> {
        let mut failure = Ok(());
        let mut sink = |pairs: Vec<Pair>| match self.take(&pairs, end, strongest) {
            Ok(flow) => flow,
            Err(error) => {
                failure = Err(error);
                ControlFlow::Break(())
            }
        };
        let found = search(&mut sink)?;
        failure.map(|()| found)
    }

    /// The searches of the parts of a matrix that conditions on names leave.
    fn searches<'a>(
        &self,
        frames: &'a [Frame],
        complete_done: bool,
        (strongest, workspace): (Option<&'a Strongest>, &'a Workspace),
    ) -> Vec<Search<'a>> {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return vec![] };
        let search = |chosen: &Chosen| {
            let (left, right) = (Side::new(first, chosen.a.as_deref()), Side::new(last, chosen.b.as_deref()));
            Search {
                one_side: left.is_same(&right),
                left,
                right,
                wanted: self.run.query.wanted,
                joined: self.run.query.origin == Origin::SelfJoin,
                bounds: self.output.conditions.bounds(),
                strongest,
                complete_done,
                workspace,
            }
        };
        self.chosen.iter().map(search).collect()
    }

    /// Runs the searches of one window.
    fn in_searches(&self, searches: &[Search<'_>], end: Option<Period>, tiles: &mut Tiles) -> Result<ControlFlow<()>> {
        for search in searches {
            let flow = self.taking(end, search.strongest, |sink| self.counted(search, tiles, sink))?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        tiles.end_window();
        Ok(ControlFlow::Continue(()))
    }

    /// Runs a search whose tiles are counted as they are done.
    fn counted(
        &self,
        search: &Search<'_>,
        tiles: &mut Tiles,
        sink: &mut dyn FnMut(Vec<Pair>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let timer = MetricBuilder::new(&self.run.metrics).subset_time("search_time", 0);
        let _timed = timer.timer();
        search.run(&mut |pairs| {
            tiles.done();
            sink(pairs)
        })
    }

    /// Takes the pairs of a tile; breaks when nobody waits for them any more.
    fn take(&self, pairs: &[Pair], end: Option<Period>, strongest: Option<&Strongest>) -> Result<ControlFlow<()>> {
        if self.sender.is_closed() {
            return Ok(ControlFlow::Break(()));
        }
        match strongest {
            Some(strongest) => {
                strongest.add(pairs)?;
                Ok(ControlFlow::Continue(()))
            }
            None => self.send(pairs, end),
        }
    }

    fn send(&self, pairs: &[Pair], end: Option<Period>) -> Result<ControlFlow<()>> {
        for batch in self.output.batches(pairs, end)? {
            if self.sender.blocking_send(Ok(batch)).is_err() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Run {
    /// Where the strongest of so many possible pairs are gathered; series of the panels wait in their scratch files where memory is refused.
    fn strongest(&self, possible: usize, panels: &mut [Panel]) -> Result<Option<Strongest>> {
        let Some(top) = self.top else { return Ok(None) };
        let top = Top { count: top.count.min(possible), ..top };
        let memory = MemoryConsumer::new("CorrelationExec: the strongest pairs").register(self.context.memory_pool());
        let bytes = Strongest::bytes(top);
        // Where no panel can make room, the error is that of the pairs.
        let _made = panels.iter_mut().any(|panel| panel.reserve_for(&memory, bytes).is_ok());
        Ok(Some(Strongest::try_new(top, self.query.origin == Origin::SelfJoin, memory)?))
    }
}

/// The count of tiles: all are told at the start, so that the share that is done never falls.
#[derive(Debug)]
struct Tiles {
    done: Count,
    /// Tiles of a window, as many as the first one has: where series lack periods, others may have more or fewer.
    of_window: usize,
    /// Those of this window that are not done.
    left: usize,
}

impl Tiles {
    /// Plans the tiles of so many windows, of which the first has these searches.
    fn plan(metrics: &ExecutionPlanMetricsSet, searches: &[Search<'_>], windows: usize) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).global_counter(name);
        let of_window = searches.iter().map(Search::tile_count).sum();
        counter(WORK).add(of_window * windows);
        Self { done: counter(DONE), of_window, left: of_window }
    }

    fn done(&mut self) {
        if self.left > 0 {
            self.left -= 1;
            self.done.add(1);
        }
    }

    fn end_window(&mut self) {
        self.done.add(self.left);
        self.left = self.of_window;
    }
}

/// The windows of `rolling` over `periods` periods, from the first; periods at the end that do not fill one have none.
fn windows(periods: usize, rolling: Rolling) -> impl Iterator<Item = Range<usize>> {
    let Rolling { periods: length, step } = rolling;
    (0..).map(move |window| window * step).map(move |start| start..start + length).take_while(move |window| window.end <= periods)
}
