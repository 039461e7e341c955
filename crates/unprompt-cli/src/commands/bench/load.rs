//! Clients that ask a server for prompts, as fast as it answers.

use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// A request that takes longer counts as a failure of the server.
const PATIENCE: Duration = Duration::from_secs(60);
/// Waited for after a refusal, before the same is asked again.
const PAUSE: Duration = Duration::from_millis(10);

/// So many clients for so long, each on a connection of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) clients: usize,
    pub(super) duration: Duration,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Loaded {
    /// Milliseconds from a request to the end of its answer.
    pub(super) median_ms: f64,
    /// The same of the slowest hundredth.
    pub(super) p99_ms: f64,
    /// Answers a second of all clients together.
    pub(super) per_second: f64,
}

impl Load {
    /// Clients take pictures in turn, each from another one on. Refusals for want of room are asked again,
    /// and their time counts.
    ///
    /// # Errors
    /// When a connection breaks or a request fails.
    pub(super) fn run(&self, pictures: &[&[u8]]) -> Result<Loaded> {
        let started = Instant::now();
        let times = thread::scope(|scope| {
            let client = |number| scope.spawn(move || self.client(number, pictures, started));
            let clients: Vec<_> = (0..self.clients).map(client).collect();
            let mut times = Vec::new();
            for client in clients {
                let own = client
                    .join()
                    .map_err(|_| anyhow::anyhow!("a client failed"))?;
                times.extend(own?);
            }
            Ok::<_, anyhow::Error>(times)
        })?;
        summary(times, started.elapsed())
    }

    fn client(&self, number: usize, pictures: &[&[u8]], started: Instant) -> Result<Vec<f64>> {
        let mut stream = TcpStream::connect(self.address).context("cannot connect")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut times = Vec::new();
        for picture in pictures.iter().cycle().skip(number % pictures.len().max(1)) {
            if started.elapsed() >= self.duration {
                break;
            }
            let asked = Instant::now();
            loop {
                let length = picture.len();
                let head = format!(
                    "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n\
                     Content-Length: {length}\r\n\r\n"
                );
                stream.write_all(&[head.as_bytes(), picture].concat())?;
                match status_of_answer(&mut reader)? {
                    200 => break,
                    429 | 503 => thread::sleep(PAUSE),
                    status => bail!("a request was answered with {status}"),
                }
            }
            times.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    }
}

/// Reads an answer to its end.
fn status_of_answer(reader: &mut impl BufRead) -> Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.context("the server closed the connection")?;
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().context("an answer's length")?;
            }
            Some(_) => {}
            None => break,
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    Ok(status)
}

fn summary(mut times: Vec<f64>, whole: Duration) -> Result<Loaded> {
    if times.is_empty() {
        bail!("no request was answered");
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * times.len() as f64).ceil() as usize;
        times[place.clamp(1, times.len()) - 1]
    };
    Ok(Loaded {
        median_ms: at(0.5),
        p99_ms: at(0.99),
        per_second: times.len() as f64 / whole.as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up_by_their_order() {
        let times: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let found = summary(times, Duration::from_secs(4)).unwrap();
        assert_eq!(
            (found.median_ms, found.p99_ms, found.per_second),
            (100.0, 198.0, 50.0)
        );
        let one = summary(vec![7.0], Duration::from_secs(1)).unwrap();
        assert_eq!((one.median_ms, one.p99_ms), (7.0, 7.0));
        assert!(summary(Vec::new(), Duration::from_secs(1)).is_err());
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        let mut answers =
            &b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nX: y\r\n\r\nabcHTTP/1.1 429 Too\r\n\r\n"[..];
        assert_eq!(status_of_answer(&mut answers).unwrap(), 200);
        assert_eq!(status_of_answer(&mut answers).unwrap(), 429);
        assert!(status_of_answer(&mut answers).is_err());
    }
}
