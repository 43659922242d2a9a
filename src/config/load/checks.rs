//! Settings against each other: what each of them may say, but not together.

use ipnet::IpNet;

use std::time::Duration;

use super::{Draft, index_of, name_at};
use crate::config::choice::Word as _;
use crate::config::settings::SETTINGS;
use crate::config::value::{Fault, elided, shown};
use crate::config::{Place, Syntax};
use crate::dns::{Key, longest_base};
use crate::list::is_wide;
use crate::policy::{Template, Trigger};
use crate::smtp::{Domain, KEY_LENGTH};
use crate::verdict::{Act, List};

/// How many seconds mail servers wait for an answer unless told otherwise, and where to tell them.
const MTAS: [(&str, u64, &str); 2] =
    [("Sendmail", 10, "R in T= of INPUT_MAIL_FILTER"), ("Postfix", 30, "milter_command_timeout")];

/// Settings that stand in the log, and hardly ever hold a word as long as a key of DQS. Names of daemons may: hosts in
/// clouds are called so.
const NAMES: [&str; 5] = ["listen", "user", "socket.owner", "socket.group", "dns.zone_base"];

/// Whether a word of a name, which is no path, is as long as a key of DQS.
fn is_like_dqs(name: &str) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    !name.contains('/') && words.any(|word| word.len() == KEY_LENGTH)
}

impl Draft {
    /// Brings the time limits in line with each other, as the Python milter does.
    pub(super) fn fit_times(&mut self) {
        let config = &mut self.config;
        let tenth = Duration::from_millis(100);
        let room = config.milter_timeout.saturating_sub(tenth).max(Duration::from_millis(500));
        let lifetime = config.dns_lifetime.min(room).max(tenth);
        let room = lifetime.saturating_sub(tenth).max(Duration::from_millis(200));
        let per_try = config.dns_per_try.min(room).max(Duration::from_millis(50));
        let lifetimes = std::mem::replace(&mut config.dns_lifetime, lifetime);
        let tries = std::mem::replace(&mut config.dns_per_try, per_try);
        for (env, set, used, above) in [
            ("DNS_LIFETIME", lifetimes, lifetime, "timeouts.stage"),
            ("DNS_PER_TRY", tries, per_try, "dns.lifetime"),
        ] {
            if set == used {
                continue;
            }
            let (set, used) = (set.as_secs_f64(), used.as_secs_f64());
            let (change, remedy) = if used < set {
                ("lowered", format!("raise {above} or lower it yourself"))
            } else {
                ("raised", "less leaves no time for an answer".to_owned())
            };
            let place = self.places[index_of(env)].clone();
            let fault = Fault::new(format!("{set} s is {change} to {used} s"), remedy);
            self.report.notice(place.clone(), name_at(env, &place), fault);
        }
        self.check_patience(lifetime + tenth);
    }

    /// Tells of a stage that may last longer than mail servers wait: they go on without the filter then, or
    /// defer the mail, whatever the answer would have been.
    fn check_patience(&mut self, stage: Duration) {
        let impatient = MTAS.into_iter().filter(|(_, patience, _)| stage >= Duration::from_secs(*patience));
        let (who, how): (Vec<String>, Vec<&str>) =
            impatient.map(|(name, patience, setting)| (format!("{name} {patience} s"), setting)).unzip();
        if !who.is_empty() {
            let place = self.places[index_of("DNS_LIFETIME")].clone();
            let fault = Fault::new(
                format!("mail servers do not wait that long for a filter: {}", who.join(", ")),
                format!("lower it, or raise {}", how.join(" and ")),
            );
            self.report.notice(place.clone(), name_at("DNS_LIFETIME", &place), fault);
        }
    }

    pub(super) fn check_replies(&mut self) {
        let defer = self.config.zrd_action == Act::Defer;
        if self.config.reply_zrd.as_ref().is_some_and(|template| template.is_temporary() != defer) {
            let place = self.places[index_of("REPLY_ZRD")].clone();
            let action = self.config.zrd_action.word();
            let codes = if defer { "450 4.7.1" } else { "550 5.7.1" };
            let fault = Fault::new(
                format!("the reply does not fit zrd.action, which is {action}"),
                format!("begin it with {codes}"),
            );
            self.report.error(place.clone(), name_at("REPLY_ZRD", &place), fault);
        }
    }

    /// Tells of replies that put a listed client off instead of refusing it.
    pub(super) fn check_deferrals(&mut self) {
        let config = &self.config;
        let replies = [
            ("REPLY_ZEN", &config.reply_zen, "554 5.7.1"),
            ("REPLY_HELO", &config.reply_helo, "550 5.7.1"),
            ("REPLY_SENDER", &config.reply_sender, "550 5.7.1"),
        ];
        for (env, template, codes) in replies {
            if template.as_ref().is_some_and(Template::is_temporary) {
                let place = self.places[index_of(env)].clone();
                let cause =
                    "listed mail is not refused but comes again, as with every reply that begins with 4";
                let fault = Fault::new(cause, format!("to refuse it, begin with {codes}"));
                self.report.notice(place.clone(), name_at(env, &place), fault);
            }
        }
    }

    pub(super) fn check_lists(&mut self) {
        let config = &self.config;
        let additions = &config.additions;
        let is_more = !additions.recipients.policies.is_empty()
            || !additions.limits.is_empty()
            || additions.syntax != Syntax::default();
        if !config.asks_dqs() && additions.lists.is_empty() && !is_more {
            let fault = Fault::new("all lists are switched off: nothing is checked", "switch one on");
            self.report.notice(Place::Nowhere, "", fault);
        }
    }

    /// `@local` stands for something only if there are domains of one's own.
    pub(super) fn check_recipients(&mut self) {
        if self.config.local_domains.is_empty() {
            for place in &self.config.additions.recipients.own {
                let fault =
                    Fault::new("@local stands for nobody: there are no local_domains", "set local_domains");
                self.report.error(place.clone(), "recipient.senders", fault);
            }
        }
    }

    /// Allow lists that nearly everybody is in were hardly meant so.
    pub(super) fn check_wide(&mut self) {
        let config = &self.config;
        if config.allow_force {
            return;
        }
        let networks =
            |nets: &[IpNet]| nets.iter().filter(|net| is_wide(net)).map(ToString::to_string).collect();
        let domains = |domains: &[Domain]| -> Vec<String> {
            domains.iter().filter(|domain| domain.labels() < 2).map(ToString::to_string).collect()
        };
        let found: [(&str, Vec<String>); 3] = [
            ("IP_WHITELIST", networks(&config.ip_whitelist)),
            ("TRUSTED_NETWORKS", networks(&config.trusted_networks)),
            ("DOMAIN_SUFFIX_WHITELIST", domains(&config.domain_suffix_whitelist)),
        ];
        for (setting, entries) in found {
            for entry in entries {
                let place = self.places[index_of(setting)].clone();
                let cause = format!("{} covers a large part of the Internet", shown(&entry));
                let fault = Fault::new(cause, "name less, or set allow.force = true");
                let compat = self.config.compat_parse;
                self.report.lapse(compat, place.clone(), name_at(setting, &place), fault);
            }
        }
    }

    /// Rules that cannot do what they seem to.
    pub(super) fn check_rules(&mut self) {
        let config = &self.config;
        let switches = [
            (config.zen_enable, List::ZEN),
            (config.dbl_enable, List::DBL),
            (config.zrd_enable, List::ZRD),
            (config.authbl_enable, List::AUTHBL),
        ];
        let mut found = Vec::new();
        for (rule, place) in &config.additions.rules {
            let name = format!("rule.{}", rule.name);
            if let Trigger::Listed { lists, .. } = &rule.trigger {
                for (_, list) in
                    switches.iter().filter(|(on, list)| !on && lists.iter().any(|(l, _)| l == list))
                {
                    let remedy = format!("set {list}.enable = true, or remove the rule");
                    found.push((
                        place.clone(),
                        name.clone(),
                        Fault::new(format!("{list} is switched off: it never fires"), remedy),
                    ));
                }
            }
            if rule.ripe() > config.enforce_stage && rule.effect.spares.is_some() {
                let cause = format!(
                    "it lets mail in from {} on, but mail is refused from {} on",
                    rule.ripe(),
                    config.enforce_stage
                );
                let remedy = format!("set enforce.stage = \"{}\"", rule.ripe());
                found.push((place.clone(), name.clone(), Fault::new(cause, remedy)));
            }
        }
        let counts = config.additions.rules.iter().any(|(rule, _)| rule.effect.weight > 0);
        if counts == config.additions.score.thresholds.is_empty() {
            let fault = if counts {
                Some(Fault::new("rules count, but no sum leads to anything", "add [score], as in reject = 5"))
            } else {
                None
            };
            found.extend(fault.map(|fault| (Place::Nowhere, "score".to_owned(), fault)));
        }
        for (place, name, fault) in found {
            self.report.notice(place, name, fault);
        }
    }

    /// A zone base that leaves no room for the subject would switch a list off, for all or for long names.
    pub(super) fn check_zone_base(&mut self) {
        let config = &self.config;
        let Some(key) = &config.key else { return };
        let lists =
            [(config.zen_enable, List::ZEN), (config.dbl_enable, List::DBL), (config.zrd_enable, List::ZRD)];
        let lists = lists.into_iter().chain([(config.authbl_enable, List::AUTHBL)]);
        let enabled = lists.into_iter().filter_map(|(enabled, list)| enabled.then_some(list));
        let Some(most) = enabled.map(|list| longest_base(key, list)).min() else { return };
        let length = config.zone_base.as_str().len();
        if length > most {
            let place = self.places[index_of("ZONE_BASE")].clone();
            let fault = Fault::new(
                format!("{length} octets leave no room beside key and subject in a DNS name, which has 253"),
                format!("give a domain of at most {most} octets"),
            );
            self.report.error(place.clone(), name_at("ZONE_BASE", &place), fault);
        }
    }

    /// Finds a key in settings that are no secret: in a reply it would go out to every client, in a name
    /// of a zone or an account to the log.
    pub(super) fn check_key(&mut self) {
        let Self { config, places, report, .. } = self;
        let own = config.additions.lists.iter().filter_map(|list| list.key.as_deref());
        let keys: Vec<&Key> = config.key.iter().chain(own).collect();
        let is_key = |text: &str| keys.iter().any(|key| key.stands_in(text));
        let fault = || Fault::new("the value holds a key, which it would give away", "take it out");
        for (setting, place) in SETTINGS.iter().zip(&*places).filter(|(_, place)| **place != Place::Default) {
            let value = (setting.show)(config);
            if is_key(&value) {
                report.error(place.clone(), name_at(setting.env, place), fault());
            } else if NAMES.contains(&setting.toml) && value.split(',').any(is_like_dqs) {
                let cause = "the value looks like a key, which logs would give away";
                let remedy = "put the key into a file, and name that as key.file; if it is none, take another name, or an address";
                report.error(place.clone(), name_at(setting.env, place), Fault::new(cause, remedy));
            }
        }
        for table in &config.additions.tables {
            for (place, field) in table.places_of(&is_key) {
                // A name that looks like a key was refused as such.
                if !(field == "name" && report.blames(&place)) {
                    let name = format!("{}.{}", table.what, elided(field, 80));
                    report.error(place, name.trim_end_matches('.'), fault());
                }
            }
        }
    }
}
