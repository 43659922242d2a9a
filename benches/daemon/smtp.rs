//! One SMTP session with a real mail server, from the client's own address.
//!
//! Up to RCPT, where a server says its verdict; no message is sent.

use crate::subject::{Identity, Stage};
use crate::wire::Course;
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// From the connection to the end of the session. The wait at each stage is that for the server's reply.
pub(crate) async fn converse(port: u16, who: &Identity) -> Result<Course, String> {
    let begun = Instant::now();
    let text = |error: std::io::Error| format!("SMTP: {error}");
    let socket = TcpSocket::new_v4().map_err(text)?;
    socket.bind((who.address, 0).into()).map_err(|error| format!("SMTP: {}: {error}", who.address))?;
    let stream = socket.connect(([127, 0, 0, 1], port).into()).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    let mut talk = BufReader::new(stream);
    let mut course = Course::default();
    let steps = [
        (Stage::Connect, String::new()),
        (Stage::Helo, format!("EHLO {}\r\n", who.helo)),
        (Stage::Mail, format!("MAIL FROM:<news@{}>\r\n", who.domain)),
        (Stage::Rcpt, "RCPT TO:<user@here.example>\r\n".to_owned()),
    ];
    for (stage, command) in steps {
        let asked = Instant::now();
        let reply = exchange(&mut talk, &command).await?;
        course.stages[stage as usize] = asked.elapsed();
        course.replies += 1;
        match reply.as_bytes() {
            [b'2', ..] => {}
            [b'5', b'5', ..] => {
                course.refused = Some(stage);
                break;
            }
            _ => return Err(format!("SMTP: {stage:?}: {}", reply.trim_end().escape_debug())),
        }
    }
    exchange(&mut talk, "QUIT\r\n").await?;
    course.waited = begun.elapsed();
    Ok(course)
}

/// The last line of the reply to a command.
async fn exchange(talk: &mut BufReader<TcpStream>, command: &str) -> Result<String, String> {
    talk.get_mut().write_all(command.as_bytes()).await.map_err(|error| format!("SMTP: {error}"))?;
    loop {
        let mut line = String::new();
        match talk.read_line(&mut line).await {
            Ok(0) => return Err("SMTP: the server closed the connection".into()),
            Ok(_) if line.as_bytes().get(3) == Some(&b'-') => {}
            Ok(_) => return Ok(line),
            Err(error) => return Err(format!("SMTP: {error}")),
        }
    }
}
