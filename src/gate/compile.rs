//! From a configuration to the rules of a gate, and to the settings of what stands beside it.

use std::sync::Arc;
use std::time::Duration;

use super::{Access, Envelope, Gate, Limit, Rules, Tables, Terms};
use crate::check::{self, Exempt, Listed};
use crate::config::{Config, Of, OwnList, Per};
use crate::dns::{self, Dns};
use crate::limits::Limits;
use crate::list::access;
use crate::list::recipients::{Admission, Senders};
use crate::policy::{
    Condition, EXEMPT_RECIPIENTS, Effect, LIMIT, OnTrouble, Policy, RECIPIENT, Replies, Rule, Spares,
    Template, Trigger,
};
use crate::smtp::{Domain, Stage};
use crate::verdict::{Act, Class, Codes, Identities, Identity, Kind, List};

/// How much longer than one stage a session may wait for answers that never come: a dead name server must
/// not cost it three stages.
const SESSION_EXTRA: Duration = Duration::from_millis(150);

/// Questions that one session can have open at once beside those of the administrator's own lists: two about its
/// address, and two lists about three names. A crowd of sessions must wait for its answers, not pass without them.
const QUESTIONS: usize = 8;

impl Gate {
    /// Compiles a configuration, with the tables of its lists that are files.
    pub fn compile(config: &Config, tables: &Tables, dns: Arc<Dns>) -> Self {
        Self::new(Rules::new(config, tables), dns)
    }
}

impl Rules {
    /// The rules of a configuration, with the tables of its lists that are files.
    pub fn new(config: &Config, tables: &Tables) -> Self {
        let mut rules = Self::from(config);
        rules.envelope.admissions.members = tables.members().to_vec();
        for check in &mut rules.checks {
            check.table = tables.find(check.list).cloned();
        }
        rules.access = access(config, tables);
        rules
    }
}

impl From<&Config> for Rules {
    /// The rules without any table: for those who do not look up anything.
    fn from(config: &Config) -> Self {
        let checks = checks(config);
        Self {
            checks,
            exempt: exempt(config),
            policy: policy(config),
            envelope: envelope(config),
            access: None,
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
            query_budget: config.query_budget,
            lists: enabled(config).chain(in_dns(config).map(|own| own.list)).collect(),
            keys: config
                .additions
                .lists
                .iter()
                .filter_map(|own| Some((own.list, Arc::clone(own.key.as_ref()?))))
                .collect(),
            waiting_queries: config.connections.saturating_mul(QUESTIONS + own_questions(config)),
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

fn envelope(config: &Config) -> Envelope {
    let own = &config.additions;
    let template = |text: &str| Template::parse(text).expect("a built-in text is a template");
    let mut envelope = Envelope {
        rejected: own.syntax.reject,
        shadowed: own.syntax.shadow,
        uncounted: config.exempt_recipients.iter().cloned().collect(),
        ..Envelope::default()
    };
    let local = || config.local_domains.iter().map(Domain::as_str);
    config.access.detail.clone_into(&mut envelope.admissions.detail);
    for (place, policy) in own.recipients.policies.iter().enumerate() {
        for key in &policy.recipients {
            // Two policies with one key are an error of the configuration.
            let _ = envelope.admissions.protected.add(key.clone(), place);
        }
        envelope.admissions.policies.push(Admission {
            senders: Senders::new(policy.senders.iter().cloned(), local()),
            deny: Senders::new(policy.deny.iter().cloned(), local()),
            logins: policy.logins,
        });
        envelope.terms.push(Terms {
            by: format!("{RECIPIENT}{}", policy.name).into(),
            reply: policy
                .reply
                .clone()
                .unwrap_or_else(|| template("550 5.7.1 {sender} may not write to {recipient}")),
            on_trouble: policy.on_trouble,
            trouble: template("451 4.7.1 Who may write to {recipient} cannot be told now, try again later"),
            mode: policy.mode,
        });
    }
    let limits = own.limits.iter().map(|limit| {
        let usual = match (limit.per, limit.of) {
            (Per::Message, _) => "452 4.5.3 Too many untrusted recipients",
            (_, Of::Connections) => "450 4.7.1 Client host [{ip}]: too many connections, try again later",
            (Per::Client, Of::Messages) => "450 4.7.1 Client host [{ip}]: too many messages, try again later",
            (Per::Client, Of::Recipients) => {
                "450 4.7.1 Client host [{ip}]: too many recipients, try again later"
            }
            (Per::Sender, Of::Messages) => "450 4.7.1 Sender {sender}: too many messages, try again later",
            (Per::Sender, Of::Recipients) => {
                "450 4.7.1 Sender {sender}: too many recipients, try again later"
            }
        };
        Limit {
            by: format!("{LIMIT}{}", limit.name).into(),
            per: limit.per,
            of: limit.of,
            most: limit.most,
            within: limit.within,
            exempt: limit.exempt.iter().copied().collect(),
            counts_logins: limit.counts_logins,
            reply: limit.reply.clone().unwrap_or_else(|| template(usual)),
            mode: limit.mode,
            meter: None,
        }
    });
    envelope.limits = limits.collect();
    envelope
}

fn exempt(config: &Config) -> Exempt {
    Exempt {
        trusted: config.trusted_networks.iter().copied().collect(),
        addresses: config.ip_whitelist.iter().copied().collect(),
        skip_all: config.whitelist_skip_all,
        domains: config.domain_whitelist.iter().cloned().collect(),
        own: config.local_domains.iter().cloned().collect(),
        suffixes: config.domain_suffix_whitelist.iter().cloned().collect(),
        login: config.auth_skip,
        check_login_sender: config.auth_domain_checks,
        submission_daemons: config.submission_daemons.clone(),
        ask_special: !config.skip_special,
    }
}

/// Questions that one session can have open at once to the administrator's own lists.
fn own_questions(config: &Config) -> usize {
    in_dns(config).map(|own| own.identities.iter().count()).sum()
}

/// The administrator's own lists that name servers are asked about.
fn in_dns(config: &Config) -> impl Iterator<Item = &OwnList> {
    config.additions.lists.iter().filter(|own| own.file.is_none())
}

/// The lists of DQS in use, in the order in which they give the reason for a refusal.
fn enabled(config: &Config) -> impl Iterator<Item = List> {
    let switches = [
        (config.authbl_enable, List::AUTHBL),
        (config.zen_enable, List::ZEN),
        (config.dbl_enable, List::DBL),
        (config.zrd_enable, List::ZRD),
    ];
    switches.into_iter().filter_map(|(enabled, list)| enabled.then_some(list))
}

fn checks(config: &Config) -> Vec<Listed> {
    let dqs = enabled(config).map(|list| {
        let usual = Listed::new(list);
        if list == List::AUTHBL {
            // It is about stolen passwords: mail servers have none.
            let sessions = [Class::Submission, Class::Login].into_iter().collect();
            Listed { sessions: Some(sessions), ..usual }
        } else if config.rdns_enable && list.kind() == Kind::Domain {
            let more = std::iter::once(Identity::ClientName);
            Listed { identities: usual.identities.iter().chain(more).collect(), ..usual }
        } else {
            usual
        }
    });
    let own = config.additions.lists.iter().map(|own| Listed {
        list: own.list,
        identities: own.identities,
        sessions: own.sessions,
        table: None,
    });
    dqs.chain(own).collect()
}

/// The access maps, if there are any.
fn access(config: &Config, tables: &Tables) -> Option<Access> {
    let (own, maps) = (&config.access, tables.maps().to_vec());
    let rules =
        access::Rules { loopback: own.loopback, logins: own.logins, detail: own.detail.as_str().into() };
    (!maps.is_empty()).then(|| Access {
        check: check::Access { maps, rules },
        mode: own.mode,
        delay: own.delay,
        exemption: own.exempt,
        exempt: config.exempt_recipients.iter().cloned().collect(),
        on_trouble: own.on_trouble,
        reply: own.reply.clone(),
    })
}

fn policy(config: &Config) -> Policy {
    let effect = |act| Effect { act: Some(act), ..Effect::default() };
    let listed = |name: &str, list: List, codes, act| {
        let trigger = Trigger::Listed { lists: vec![(list, codes)], identities: Identities::ALL };
        Rule::new(name, trigger, effect(act))
    };
    let own = &config.additions;
    let mut rules: Vec<Rule> = own.rules.iter().map(|(rule, _)| rule.clone()).collect();
    for (list, acts, refused) in [
        (List::ZEN, &config.zen_action, config.zen_reject_codes),
        (List::DBL, &config.dbl_action, config.dbl_reject_codes),
    ] {
        let mut left = refused;
        for (first, last, act) in &acts.0 {
            let codes = Codes::of(left.group(), *first..=*last);
            left = left.without(codes);
            rules.push(listed(&format!("{list}-{first}-{last}"), list, codes, *act));
        }
        rules.push(listed(list.name(), list, left, Act::Refuse));
    }
    rules.push(listed("zrd", List::ZRD, Codes::of(2, 2..=config.zrd_max_age), config.zrd_action));
    if config.authbl_enable {
        rules.push(listed("authbl", List::AUTHBL, List::AUTHBL.all_codes(), config.authbl_action));
    }
    let dqs = enabled(config).map(|list| (list, config.on_failure.of(list)));
    let troubled = dqs.chain(own.lists.iter().map(|own| (own.list, own.on_trouble)));
    for (list, _) in troubled.filter(|(_, on_trouble)| *on_trouble == OnTrouble::Defer) {
        rules.push(Rule::new(&format!("{list}-trouble"), Trigger::Trouble(list), effect(Act::Defer)));
    }
    // What is dropped or held is lost to all recipients alike: who is exempt must have a say in it.
    let acts = rules.iter().filter_map(|rule| rule.effect.act);
    let mut acts = acts.chain(own.score.thresholds.iter().map(|(_, act)| *act));
    let by_recipient = config.enforce_stage == Stage::Rcpt
        || rules.iter().any(|rule| rule.ripe() == Stage::Rcpt)
        || acts.any(|act| matches!(act, Act::Discard | Act::Quarantine));
    if by_recipient && !config.exempt_recipients.is_empty() {
        let spares = Effect { spares: Some(Spares::All), ..Effect::default() };
        let recipient = config.exempt_recipients.iter().cloned().collect();
        let when = vec![Condition { recipient, ..Condition::default() }];
        rules.push(Rule { when, ..Rule::new(EXEMPT_RECIPIENTS, Trigger::Met, spares) });
    }
    Policy::new(rules, own.score.clone(), replies(config)).observing(config.observe)
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
