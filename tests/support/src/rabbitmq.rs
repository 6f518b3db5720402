//! A RabbitMQ of a test's own, with its STOMP plugin on ports of its own, plain and with TLS, and a small client that
//! publishes. It deliberately knows nothing of messages: what a test publishes is the test's.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::node::free_port;
use crate::redis::make_certificate;
use crate::wait::wait_until;

/// A cold start of Erlang on a busy machine.
const READY: Duration = Duration::from_secs(180);

/// A running broker; it ends when dropped.
pub struct RabbitMq {
    home: TempDir,
    port: u16,
    tls_port: u16,
    /// The names of Erlang's nodes: its own would stay behind.
    names: Child,
    broker: Child,
}

impl RabbitMq {
    /// Starts it, with `guest` as login and password, and waits until it answers.
    pub fn start() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let (port, tls_port, names_port) = (free_port(), free_port(), free_port());
        let path = |name: &str| home.path().join(name).display().to_string();
        make_certificate(home.path());
        fs::write(home.path().join("enabled_plugins"), "[rabbitmq_stomp].\n").expect("a file can be written");
        let config = format!(
            "listeners.tcp = none\nstomp.listeners.tcp.1 = 127.0.0.1:{port}\nstomp.listeners.ssl.1 = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
            path("ca.pem"),
            path("cert.pem"),
            path("key.pem")
        );
        fs::write(home.path().join("rabbitmq.conf"), config).expect("a file can be written");
        let mut names = Command::new("epmd");
        names.args(["-address", "127.0.0.1", "-port", &names_port.to_string()]);
        names.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let names = names.spawn().expect("erlang is installed (apt-get install rabbitmq-server)");
        let mut broker = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        let settings = [
            ("HOME", path("")),
            ("RABBITMQ_NODENAME", format!("test-{port}@localhost")),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            // Without its ending.
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
            ("RABBITMQ_DIST_PORT", free_port().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", names_port.to_string()),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none".to_owned(),
            ),
        ];
        broker.envs(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let broker = broker.spawn().expect("rabbitmq-server is installed (apt-get install rabbitmq-server)");
        let rabbit = Self { home, port, tls_port, names, broker };
        wait_until("rabbitmq answers", READY, || rabbit.try_publish(&[]).is_ok());
        rabbit
    }

    pub fn url(&self) -> String {
        format!("stomp://127.0.0.1:{}", self.port)
    }

    pub fn tls_url(&self) -> String {
        format!("stomp+ssl://localhost:{}", self.tls_port)
    }

    /// The certificate of the authority behind [`RabbitMq::tls_url`].
    pub fn ca_file(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    /// Publishes bodies, each with its routing key, to the exchange `amq.topic`, and waits until the broker has them.
    pub fn publish(&self, messages: &[(&str, String)]) {
        self.try_publish(messages).expect("the broker takes messages");
    }

    fn try_publish(&self, messages: &[(&str, String)]) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut frames = "CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0".to_owned();
        for (key, body) in messages {
            let bytes = body.len();
            frames +=
                &format!("SEND\ndestination:/exchange/amq.topic/{key}\ncontent-length:{bytes}\n\n{body}\0");
        }
        stream.write_all((frames + "DISCONNECT\nreceipt:end\n\n\0").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.contains("receipt-id:end") {
            true => Ok(()),
            false => Err(std::io::Error::other(answer)),
        }
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // The started program is a script: Erlang's own process has its number in the file.
        let pid = fs::read_to_string(self.home.path().join("pid")).ok();
        let pid = pid.and_then(|text| rustix::process::Pid::from_raw(text.trim().parse().ok()?));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        for child in [&mut self.broker, &mut self.names] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
