//! The protocol: one client, on standard input and output.

use super::{calls::Calls, roots::Roots, tools};
use crate::{models::Models, options::ServeOptions, service::Service};
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
    transport::stdio,
};
use std::{io, sync::Arc, thread::JoinHandle};

const INSTRUCTIONS: &str = "Tells the prompt of pictures: what their files carry, or what models predict. Pictures are named by \
     their paths below the folders that the server was started with. Nothing is changed.";

/// Tools for an agent.
#[derive(Debug)]
pub struct Mcp {
    calls: Calls,
    worker: JoinHandle<()>,
}

impl Mcp {
    /// Starts the worker. `options` say how much there may be at a time; what they say of HTTP does not
    /// matter here.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn new(models: Arc<dyn Models>, roots: Roots, options: ServeOptions) -> io::Result<Self> {
        let (service, worker) = Service::start(models, options)?;
        let roots = Arc::new(roots);
        let calls = Calls { service, roots };
        Ok(Self { calls, worker })
    }

    /// Answers what comes on standard input until it ends.
    ///
    /// # Errors
    /// When the async runtime cannot be started, or the client does not speak the protocol.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name("mcp")
            .enable_all()
            .build()?;
        let service = Arc::clone(&self.calls.service);
        let handler = Handler(self.calls);
        let ended = runtime.block_on(async {
            let running = handler.serve(stdio()).await.map_err(io::Error::other)?;
            running.waiting().await.map_err(io::Error::other)
        });
        service.close();
        // The thread that reads standard input may wait for ever.
        runtime.shutdown_background();
        let _ = self.worker.join();
        ended.map(|_| ())
    }
}

#[derive(Clone, Debug)]
struct Handler(Calls);

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let mut info = ServerConfig::new(capabilities).with_instructions(INSTRUCTIONS);
        info.server_info = Implementation::new("unprompt", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let told = tokio::select! {
            told = self.0.answer(&request.name, arguments) => told,
            // Nobody waits for it any longer, and what was not begun is not done.
            () = context.ct.cancelled() => Some(Err("cancelled".into())),
        };
        let result = match told {
            Some(Ok(result)) => CallToolResult::structured(result),
            // Of a tool's own failure the agent is told; an error of the protocol it does not see.
            Some(Err(message)) => CallToolResult::error(vec![ContentBlock::text(message)]),
            None => {
                let message = "there is no such tool; tools/list names those that there are";
                return Err(ErrorData::invalid_params(message, None));
            }
        };
        Ok(CallToolResponse::from(result))
    }
}
