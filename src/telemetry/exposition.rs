//! Figures as text that Prometheus reads.
//!
//! The format is `OpenMetrics` 1.0, which Prometheus prefers; what its older parsers do not know, such as the
//! type `info`, is left out.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

use super::Metrics;
use super::metrics::{Acted, Cause, CheckResult, DECISIONS, Ended, Handover, STAGES, ShedAs};
use super::process::Usage;
use crate::verdict::{Kind, List};

/// What is known elsewhere at the moment of a look, beside what is [counted](Metrics).
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Connections open now.
    pub open: u64,
    /// The lists in use.
    pub zones: Vec<ZoneFigures>,
    /// The lists in files.
    pub files: Vec<FileFigures>,
    /// The memory of answers.
    pub cache: CacheFigures,
    /// Questions that DQS got today, and what they are not to exceed; nothing without a budget.
    pub budget: Option<(u64, u64)>,
    /// Log lines held back so far, by event.
    pub suppressed: Vec<(&'static str, u64)>,
    /// Whether the last reload brought a configuration into force; true before the first one.
    pub reload_success: bool,
    /// When the configuration in force was read.
    pub reloaded: SystemTime,
    /// The process itself.
    pub process: Usage,
}

/// How one list does.
#[derive(Debug, Clone, Copy)]
pub struct ZoneFigures {
    /// The list.
    pub list: List,
    /// Whether it is asked, and holds its own test entry as far as is known.
    pub healthy: bool,
    /// Whether it is left alone.
    pub open: bool,
    /// Questions sent to name servers.
    pub queries: u64,
    /// Questions answered from memory.
    pub hits: u64,
    /// Questions that joined one under way.
    pub coalesced: u64,
}

/// How the file of a list does.
#[derive(Debug, Clone)]
pub struct FileFigures {
    /// The list that it is; nothing for an access map.
    pub list: Option<List>,
    /// The name of the list; `access`, `access-2` of maps.
    pub name: Box<str>,
    /// Entries of what is in use.
    pub entries: u64,
    /// When that was read.
    pub loaded: SystemTime,
    /// Whether that is what the file says now.
    pub healthy: bool,
    /// How often a new file was not good.
    pub failures: u64,
}

/// How full the memory of answers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheFigures {
    /// Answers remembered, stale ones included.
    pub answers: u64,
    /// Questions under way.
    pub questions: u64,
    /// Answers that had to go for lack of room.
    pub evictions: u64,
}

impl Metrics {
    /// Everything as text, in the format of `OpenMetrics`.
    pub fn text(self: &Arc<Self>, snapshot: Snapshot) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Look { metrics: Arc::clone(self), snapshot }));
        let mut text = String::with_capacity(32 * 1_024);
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[derive(Debug)]
struct Look {
    metrics: Arc<Metrics>,
    snapshot: Snapshot,
}

impl Collector for Look {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(&mut encoder);
        self.sessions(&mut page)?;
        self.checks(&mut page)?;
        self.dns(&mut page)?;
        self.files(&mut page)?;
        self.daemon(&mut page)?;
        self.process(&mut page)
    }
}

impl Look {
    fn sessions(&self, page: &mut Page) -> fmt::Result {
        let (metrics, snapshot) = (&self.metrics, &self.snapshot);
        let mut family = page.counter("gatepost_sessions", "Sessions that ended, by how.")?;
        for ended in Ended::ALL {
            family.count([("result", ended.name())], metrics.sessions_ended(*ended))?;
        }
        page.gauge("gatepost_sessions_active", "Sessions open now.", None)?.plain(snapshot.open)?;
        let help = "Sessions over a restart, by direction; lost ones could not be taken over.";
        let mut family = page.counter("gatepost_session_handover", help)?;
        for way in Handover::ALL {
            family.count([("dir", way.name())], metrics.handed_over(*way))?;
        }
        let mut family =
            page.counter("gatepost_shed", "Sessions let go for lack of room, by what they were told.")?;
        for policy in ShedAs::ALL {
            family.count([("policy", policy.name())], metrics.sessions_shed(*policy))?;
        }
        Ok(())
    }

    /// All lists in use.
    fn lists(&self) -> impl Iterator<Item = List> {
        let zones = self.snapshot.zones.iter().map(|zone| zone.list);
        zones.chain(self.snapshot.files.iter().filter_map(|file| file.list))
    }

    fn checks(&self, page: &mut Page) -> fmt::Result {
        let metrics = &self.metrics;
        let help = "Checks, by list, the stage at which the subject became known, and result.";
        let mut family = page.counter("gatepost_checks", help)?;
        for list in self.lists() {
            // A list about addresses never has anything to say about HELO and MAIL.
            let stages = if list.kind() == Kind::Address { &STAGES[..1] } else { &STAGES[..] };
            for stage in stages {
                for result in CheckResult::ALL {
                    let labels = [("zone", list.name()), ("stage", stage.name()), ("result", result.name())];
                    family.count(labels, metrics.checks(list, *stage, *result))?;
                }
            }
        }
        let help = "Listings found, by list and return code; one answer may hold several codes.";
        let mut family = page.counter("gatepost_listings", help)?;
        for list in self.lists() {
            for (code, count) in metrics.listings(list) {
                family.count([("zone", list.name()), ("code", &code)], count)?;
            }
        }
        page.counter("gatepost_messages", "Messages that came to their end.")?.total(metrics.messages())?;
        let mut family = page.counter("gatepost_actions", "Decisions, by stage and what they did.")?;
        for stage in DECISIONS {
            for acted in Acted::ALL {
                let labels = [("stage", stage.name()), ("action", acted.name())];
                family.count(labels, metrics.actions(stage, *acted))?;
            }
        }
        Ok(())
    }

    fn dns(&self, page: &mut Page) -> fmt::Result {
        let (metrics, zones) = (&self.metrics, &self.snapshot.zones);
        let help = "How long questions to name servers took, waiting for a place included.";
        let mut family =
            page.family("gatepost_dns_query_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for zone in zones {
            let (sum, count, buckets) = metrics.dns_times(zone.list);
            let labels = [("zone", zone.list.name())];
            family.0.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        let help = "Questions that brought no answer or were not sent, by list and cause.";
        let mut family = page.counter("gatepost_dns_errors", help)?;
        for zone in zones {
            for cause in Cause::ALL {
                let labels = [("zone", zone.list.name()), ("cause", cause.name())];
                family.count(labels, metrics.dns_errors(zone.list, *cause))?;
            }
        }
        for (name, help, of) in [
            (
                "gatepost_dns_queries",
                "Questions sent to name servers.",
                (|zone| zone.queries) as fn(&ZoneFigures) -> u64,
            ),
            ("gatepost_dns_coalesced", "Questions that joined one under way.", |zone| zone.coalesced),
            ("gatepost_cache_hits", "Questions answered from memory.", |zone| zone.hits),
        ] {
            let mut family = page.counter(name, help)?;
            for zone in zones {
                family.count([("zone", zone.list.name())], of(zone))?;
            }
        }
        let help = "Whether the list is left alone after trouble: 1 for yes.";
        let mut family = page.gauge("gatepost_breaker_state", help, None)?;
        for zone in zones {
            family.number([("zone", zone.list.name())], u64::from(zone.open))?;
        }
        let help = "Whether the list is asked and holds its own test entry, as far as is known: 1 for yes.";
        let mut family = page.gauge("gatepost_zone_healthy", help, None)?;
        for zone in zones {
            family.number([("zone", zone.list.name())], u64::from(zone.healthy))?;
        }
        let cache = self.snapshot.cache;
        let help = "Answers remembered, and questions under way.";
        let mut family = page.gauge("gatepost_cache_entries", help, None)?;
        family.number([("kind", "answer")], cache.answers)?;
        family.number([("kind", "question")], cache.questions)?;
        page.counter("gatepost_cache_evictions", "Answers forgotten for lack of room.")?
            .total(cache.evictions)?;
        if let Some((sent, limit)) = self.snapshot.budget {
            let help = "Questions sent to DQS since 00:00 UTC, or since the start if that was later.";
            page.gauge("gatepost_dqs_queries_today", help, None)?.plain(sent)?;
            let help = "What dns.query_budget_per_day says.";
            page.gauge("gatepost_dqs_query_budget", help, None)?.plain(limit)?;
        }
        Ok(())
    }

    fn files(&self, page: &mut Page) -> fmt::Result {
        let files = &self.snapshot.files;
        let mut family =
            page.gauge("gatepost_file_entries", "Entries of a list in a file, or of an access map.", None)?;
        for file in files {
            family.number([("zone", &*file.name)], file.entries)?;
        }
        let help = "When what is in use of a file was read, in Unix time.";
        let mut family = page.gauge("gatepost_file_loaded_timestamp", help, Some(&Unit::Seconds))?;
        for file in files {
            family.0.encode_family(&[("zone", &*file.name)])?.encode_gauge(&unix(file.loaded))?;
        }
        let help = "Whether what is in use is what the file says: 1 for yes.";
        let mut family = page.gauge("gatepost_file_healthy", help, None)?;
        for file in files {
            family.number([("zone", &*file.name)], u64::from(file.healthy))?;
        }
        let mut family = page.counter("gatepost_file_failures", "Files that could not be used.")?;
        for file in files {
            family.count([("zone", &*file.name)], file.failures)?;
        }
        Ok(())
    }

    fn daemon(&self, page: &mut Page) -> fmt::Result {
        let snapshot = &self.snapshot;
        page.gauge("gatepost_build_info", "The version that runs.", None)?
            .number([("version", env!("CARGO_PKG_VERSION"))], 1)?;
        let mut family = page.counter("gatepost_log_suppressed", "Log lines held back, by event.")?;
        for (event, count) in &snapshot.suppressed {
            family.count([("event", *event)], *count)?;
        }
        let help = "Whether the last reload brought its configuration into force: 1 for yes.";
        page.gauge("gatepost_config_reload_success", help, None)?
            .plain(u64::from(snapshot.reload_success))?;
        let help = "When the configuration in force was read, in Unix time.";
        page.gauge("gatepost_config_last_reload_timestamp", help, Some(&Unit::Seconds))?
            .fraction(unix(snapshot.reloaded))?;
        if let Some(took) = self.metrics.watchdog_probe() {
            let help = "How long the watchdog's own session took last.";
            page.gauge("gatepost_watchdog_probe", help, Some(&Unit::Seconds))?
                .fraction(took.as_secs_f64())?;
        }
        Ok(())
    }

    /// The names that all client libraries of Prometheus use.
    fn process(&self, page: &mut Page) -> fmt::Result {
        let usage = self.snapshot.process;
        if let Some(cpu) = usage.cpu {
            let help = "Processor time of user and system.";
            page.family("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?
                .0
                .encode_counter::<NoLabelSet, _, f64>(&cpu.as_secs_f64(), None)?;
        }
        for (name, help, unit, value) in [
            ("process_resident_memory", "Resident memory.", Some(&Unit::Bytes), usage.resident),
            ("process_virtual_memory", "Address space.", Some(&Unit::Bytes), usage.virtual_size),
            ("process_open_fds", "Open file descriptors.", None, usage.open_files),
            ("process_max_fds", "File descriptors that may be open.", None, usage.max_files),
        ] {
            if let Some(value) = value {
                page.gauge(name, help, unit)?.plain(value)?;
            }
        }
        let help = "When the process started, in Unix time.";
        page.gauge("process_start_time", help, Some(&Unit::Seconds))?.fraction(unix(usage.started))
    }
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// The text under way.
struct Page<'a, 'b>(&'a mut DescriptorEncoder<'b>);

/// A family under way: all lines of one name.
struct Family<'a>(MetricEncoder<'a>);

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

impl Page<'_, '_> {
    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<Family<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind).map(Family)
    }

    fn counter<'s>(&'s mut self, name: &'s str, help: &str) -> Result<Family<'s>, fmt::Error> {
        self.family(name, help, None, MetricType::Counter)
    }

    fn gauge<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
    ) -> Result<Family<'s>, fmt::Error> {
        self.family(name, help, unit, MetricType::Gauge)
    }
}

impl Family<'_> {
    fn count<const N: usize>(&mut self, labels: Labels<'_, N>, value: u64) -> fmt::Result {
        self.0.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn total(&mut self, value: u64) -> fmt::Result {
        self.0.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn number<const N: usize>(&mut self, labels: Labels<'_, N>, value: u64) -> fmt::Result {
        self.0.encode_family(&labels)?.encode_gauge(&value)
    }

    fn plain(&mut self, value: u64) -> fmt::Result {
        self.0.encode_gauge(&value)
    }

    fn fraction(&mut self, value: f64) -> fmt::Result {
        self.0.encode_gauge(&value)
    }
}
