//! The settings of rspamd for the bench: a milter that asks three lists, and nothing else.
//!
//! No rules, no learning, no headers of its own, one worker: what gatepost has by default.

use crate::Failure;
use crate::load::Door;
use crate::subject::KEY;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A whole configuration, so that nothing of the package's own takes part.
pub(crate) fn configuration(door: &Door, name_server: u16, directory: &Path) -> Result<String, Failure> {
    // The packaged list of top-level domains takes ten seconds to read; the bench has names below one.
    fs::write(directory.join("tld"), "example\ncom\n")?;
    let socket = match door {
        Door::Tcp(port) | Door::Smtp(port) => format!("127.0.0.1:{port}"),
        Door::Unix(path) => format!("{path} mode=0666"),
    };
    let directory = directory.display();
    let mut lists = String::new();
    let mut symbols = String::new();
    for (name, zone, what) in [
        ("ZEN", "zen", "checks = [\"from\"];"),
        ("DBL_HELO", "dbl", "checks = [\"helo\"]; no_ip = true;"),
        ("ZRD_HELO", "zrd", "checks = [\"helo\"]; no_ip = true;"),
        ("DBL_FROM", "dbl", "selector = \"from('smtp'):domain\";"),
        ("ZRD_FROM", "zrd", "selector = \"from('smtp'):domain\";"),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(
            lists,
            "{name} {{ symbol = \"{name}\"; rbl = \"{KEY}.{zone}.dq.spamhaus.net\"; {what} ipv6 = false; \
             unknown = true; disable_monitoring = true; }}"
        );
        let _ = writeln!(symbols, "\"{name}\" {{ weight = 20 }}");
    }
    Ok(format!(
        "options {{
            filters = \"\";
            cache_file = \"{directory}/rspamd.cache\";
            history_rows = 1;
            dns {{ nameserver = [\"127.0.0.1:{name_server}:1\"]; timeout = 1s; sockets = 16; retransmits = 2; }}
            url_tld = \"{directory}/tld\";
            hs_cache_dir = \"/var/lib/rspamd/\";
            local_addrs = [];
            tempdir = \"/tmp\";
        }}
        logging {{ type = \"console\"; level = \"warning\"; }}
        modules {{ path = \"/usr/share/rspamd/plugins/rbl.lua\"; }}
        lang_detection {{ languages = \"/nonexistent\"; }}
        actions {{ reject = 10; }}
        group \"lists\" {{ symbols {{ {symbols} }} }}
        rbl {{ default_exclude_users = false; default_exclude_private_ips = true; rbls {{ {lists} }} }}
        worker \"rspamd_proxy\" {{
            bind_socket = \"{socket}\";
            count = 1;
            milter = yes;
            timeout = 60s;
            upstream \"local\" {{ default = yes; self_scan = yes; }}
        }}
        "
    ))
}
