//! Connections: taken, limited, drained.

use super::{router, write_deadline::WriteDeadline};
use crate::{models::Models, options::ServeOptions, service::Service};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use std::{io, sync::Arc, thread::JoinHandle, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

/// Headers of a request, all together, in bytes.
const HEADERS: usize = 32 << 10;
/// How long connections are still taken that were made before the server was told to stop.
const LAST_CALL: Duration = Duration::from_millis(100);
/// Waited for after the system had no connection to give.
const PAUSE: Duration = Duration::from_millis(50);

/// A service that waits for its listener.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    worker: JoinHandle<()>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Every request that was under way was answered.
    Whole,
    /// The time to drain was over before.
    CutShort,
}

impl Server {
    /// Starts the worker.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn new(models: Arc<dyn Models>, options: ServeOptions) -> io::Result<Self> {
        let (service, worker) = Service::start(models, options)?;
        Ok(Self { service, worker })
    }

    /// Serves until `stop` is done; then takes no more connections and answers what is under way.
    ///
    /// # Errors
    /// When the listener has no address, or the async runtime cannot be started.
    pub fn run(
        self,
        listener: std::net::TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Finish> {
        // Two threads: one that takes a long body apart leaves another for everybody else. The work is
        // done elsewhere.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(4)
            .thread_name("http")
            .enable_all()
            .build()?;
        let service = Arc::clone(&self.service);
        let served = runtime.block_on(serve(service, listener, stop));
        self.service.close();
        // What a blocking thread does in the end is of no use to anybody.
        runtime.shutdown_background();
        let finish = served?;
        if finish == Finish::Whole {
            let _ = self.worker.join();
        }
        Ok(finish)
    }
}

async fn serve(
    service: Arc<Service>,
    listener: std::net::TcpListener,
    stop: impl Future<Output = ()>,
) -> io::Result<Finish> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let connections = Connections {
        router: TowerToHyperService::new(router::router(&service)),
        graceful: GracefulShutdown::new(),
        places: Arc::new(Semaphore::new(service.limits().connections)),
        header: service.options().timeouts.header,
        idle: service.options().timeouts.idle,
    };
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            () = connections.take(&listener) => {}
        }
    }
    service.drain();
    let last = async {
        loop {
            connections.take(&listener).await;
        }
    };
    let _ = timeout(LAST_CALL, last).await;
    drop(listener);
    let drain = service.options().timeouts.drain;
    Ok(
        match timeout(drain, connections.graceful.shutdown()).await {
            Ok(()) => Finish::Whole,
            Err(_) => Finish::CutShort,
        },
    )
}

struct Connections {
    router: TowerToHyperService<axum::Router>,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
    header: Duration,
    idle: Duration,
}

impl Connections {
    /// Takes the next connection, once there is a place for it.
    async fn take(&self, listener: &TcpListener) {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Too many open files, or a client that is gone already.
            Err(_) => return tokio::time::sleep(PAUSE).await,
        };
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(WriteDeadline::new(stream, self.idle));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header)
            .max_buf_size(HEADERS)
            .serve_connection(stream, self.router.clone());
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            // An error is a client that broke off or was too slow.
            let _ = connection.await;
            drop(place);
        });
    }
}
