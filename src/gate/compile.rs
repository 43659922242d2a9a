//! From a configuration to the rules of a gate, and to the settings of what stands beside it.

use std::sync::Arc;
use std::time::Duration;

use super::{Gate, Rules};
use crate::check::{Exempt, Listed};
use crate::config::Config;
use crate::dns::{self, Dns};
use crate::limits::Limits;
use crate::list::Domains;
use crate::policy::{Effect, OnTrouble, Policy, Replies, Rule, Score, Template, Trigger};
use crate::verdict::{Act, Codes, Identities, List};

/// How much longer than one stage a session may wait for answers that never come: a dead name server must
/// not cost it three stages.
const SESSION_EXTRA: Duration = Duration::from_millis(200);

/// Questions that one session can have open at once: its address, and two lists about two names. A crowd
/// of sessions must wait for its answers, not pass without them.
const QUESTIONS: usize = 5;

impl Gate {
    /// Compiles a configuration.
    pub fn compile(config: &Config, dns: Arc<Dns>) -> Self {
        Self::new(Rules::from(config), dns)
    }
}

impl From<&Config> for Rules {
    fn from(config: &Config) -> Self {
        let checks = enabled(config).map(Listed::new).collect();
        Self {
            checks,
            exempt: exempt(config),
            policy: policy(config),
            enforce: config.enforce_stage,
            stage_budget: config.dns_lifetime,
            session_budget: config.dns_lifetime + SESSION_EXTRA,
        }
    }
}

impl From<&Config> for dns::Settings {
    fn from(config: &Config) -> Self {
        Self {
            servers: config.nameservers.clone(),
            zone_base: config.zone_base.clone(),
            lifetime: config.dns_lifetime,
            per_try: config.dns_per_try,
            cache_max: config.cache_max,
            ttl_listed: config.cache_ttl_listed,
            ttl_unlisted: config.cache_ttl_unlisted,
            honor_ttl: config.cache_honor_ttl,
            probe_interval: config.probe_interval.unwrap_or_default(),
            lists: enabled(config).collect(),
            waiting_queries: config.connections.saturating_mul(QUESTIONS),
            ..Self::default()
        }
    }
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            connections: config.connections,
            overload: config.overload,
            per_client: config.client_connections,
            idle: config.idle_timeout,
            drain: config.drain_timeout,
            ..Self::default()
        }
    }
}

fn exempt(config: &Config) -> Exempt {
    Exempt {
        trusted: config.trusted_networks.iter().copied().collect(),
        addresses: config.ip_whitelist.iter().copied().collect(),
        skip_all: config.whitelist_skip_all,
        domains: config.domain_whitelist.iter().cloned().collect(),
        own: Domains::default(),
        suffixes: config.domain_suffix_whitelist.iter().cloned().collect(),
        login: config.auth_skip,
        check_login_sender: config.auth_domain_checks,
        submission_daemons: config.submission_daemons.clone(),
        ask_special: !config.skip_special,
    }
}

/// The lists in use, in the order in which they give the reason for a refusal.
fn enabled(config: &Config) -> impl Iterator<Item = List> {
    let switches =
        [(config.zen_enable, List::ZEN), (config.dbl_enable, List::DBL), (config.zrd_enable, List::ZRD)];
    switches.into_iter().filter_map(|(enabled, list)| enabled.then_some(list))
}

fn policy(config: &Config) -> Policy {
    let listed = |list: List, codes, act| {
        let trigger = Trigger::Listed { lists: vec![(list, codes)], identities: Identities::ALL };
        Rule::new(list.name(), trigger, Effect { act: Some(act), ..Effect::default() })
    };
    let mut rules = vec![
        listed(List::ZEN, config.zen_reject_codes, Act::Refuse),
        listed(List::DBL, config.dbl_reject_codes, Act::Refuse),
        listed(List::ZRD, Codes::of(2, 2..=config.zrd_max_age), config.zrd_action),
    ];
    let deferred = enabled(config).filter(|list| config.on_failure.of(*list) == OnTrouble::Defer);
    rules.extend(deferred.map(|list| {
        let effect = Effect { act: Some(Act::Defer), ..Effect::default() };
        Rule::new(&format!("{list}-trouble"), Trigger::Trouble(list), effect)
    }));
    Policy::new(rules, Score::default(), replies(config))
}

fn replies(config: &Config) -> Replies {
    let mut replies = Replies::new(config.reply_style);
    let own = |template: &Option<Template>, places: &mut [&mut Template]| {
        for place in places {
            if let Some(template) = template {
                template.clone_into(place);
            }
        }
    };
    own(&config.reply_zen, &mut [&mut replies.zen]);
    own(&config.reply_helo, &mut [&mut replies.helo]);
    own(&config.reply_sender, &mut [&mut replies.sender]);
    own(&config.reply_failure, &mut [&mut replies.trouble]);
    let Replies { young_name, young_helo, young_sender, .. } = &mut replies;
    own(&config.reply_zrd, &mut [young_name, young_helo, young_sender]);
    replies
}
