//! `gatepost mta`: the lines that make a mail server ask gatepost, shown or put into force.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::args;
use super::host::endpoint::endpoints;
use super::host::postfix::Postfix;
use super::host::{ask, sendmail, tell};
use crate::config::{Config, Sources};
use crate::daemon::Exit;
use crate::server::Listen;

pub(super) fn run(sources: &Sources, what: &args::Mta) -> Exit {
    let config = match Config::load(&sources.clone().without_key()) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}\nmta: goes by the built-in settings");
            Config::default()
        }
    };
    let done = match what.kind {
        args::MtaKind::Postfix => postfix(&config, what),
        args::MtaKind::Sendmail => sendmail(&config, what),
    };
    match done {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("mta: {error}");
            Exit::Unavailable
        }
    }
}

fn postfix(config: &Config, what: &args::Mta) -> Result<(), String> {
    let postfix = Postfix::find();
    if what.apply && postfix.is_none() {
        return Err("there is no Postfix here: postconf cannot be run; see gatepost-postfix(7)".to_owned());
    }
    let is_here = postfix.is_some();
    let postfix = postfix.unwrap_or_else(|| Postfix {
        version: (3, 0),
        queue: "/var/spool/postfix".into(),
        ..Postfix::default()
    });
    let mut listens = endpoints(config, is_here.then_some(&*postfix.queue));
    listens.extend(what.socket.clone());
    let chosen = what.socket.as_ref().or(listens.first()).ok_or("nothing to listen on is configured")?;
    let socket = postfix.name_of(chosen);
    if let Listen::Unix(path) = chosen
        && !path.starts_with(&postfix.queue)
        && postfix.services.iter().any(|service| service.chroot)
    {
        let queue = postfix.queue.display();
        eprintln!("mta: smtpd runs in a chroot, {queue}, and cannot see {}", path.display());
        eprintln!(
            "mta: let the daemon listen on unix:{queue}/gatepost/milter.sock, as the packaged socket unit does"
        );
    }
    let Some(value) = postfix.with_us(&listens, &socket) else {
        sayln!("# main.cf names gatepost already:\nsmtpd_milters = {}", postfix.raw);
        return Ok(());
    };
    sayln!("smtpd_milters = {value}");
    for service in
        postfix.services.iter().filter(|service| service.is_submission() && service.milters.is_none())
    {
        sayln!("# master.cf: your own users need no check; below `{}`:\n#   -o smtpd_milters=", service.name);
    }
    if !what.apply {
        sayln!("# put into force with: gatepost mta postfix --apply");
        return Ok(());
    }
    tell("postconf", &["-e", &format!("smtpd_milters={value}")])?;
    sayln!("# written to main.cf");
    if ask("postfix", &["status"]).is_some() {
        tell("postfix", &["reload"])?;
        sayln!("# Postfix was told to reload");
    } else {
        sayln!("# Postfix does not run; the line counts when it starts");
    }
    Ok(())
}

fn sendmail(config: &Config, what: &args::Mta) -> Result<(), String> {
    let listens = endpoints(config, None);
    let chosen = what.socket.as_ref().or(listens.first()).ok_or("nothing to listen on is configured")?;
    let socket = sendmail::name_of(chosen);
    sayln!("{}", sendmail::line(&socket));
    if !what.apply {
        sayln!("dnl put into {} with: gatepost mta sendmail --apply", sendmail::MC);
        return Ok(());
    }
    let path = Path::new(sendmail::MC);
    let mc = fs::read_to_string(path)
        .map_err(|error| format!("{}: {error}; see gatepost-sendmail(7)", path.display()))?;
    let Some(text) = sendmail::with_us(&mc, &socket) else {
        sayln!("dnl {} has a line for gatepost already; it stays as it is", path.display());
        return Ok(());
    };
    replace(path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
    sayln!("dnl written; the text before is in {}.before-gatepost", path.display());
    sayln!("dnl now make sendmail.cf of it and restart: make -C /etc/mail && systemctl restart sendmail");
    Ok(())
}

/// Replaces a file at once, with mode and owner as they were; the text before is kept beside it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        std::path::PathBuf::from(name)
    };
    let what = fs::metadata(path)?;
    fs::copy(path, beside(".before-gatepost"))?;
    let new = beside(".gatepost-new");
    fs::write(&new, text)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(what.mode() & 0o7777))?;
    std::os::unix::fs::chown(&new, Some(what.uid()), Some(what.gid()))?;
    fs::rename(new, path)
}
