//! The image, as its user runs it: built by buildah from the program at hand, its root filesystem entered
//! with chroot. Where `./test` builds a release, as in `.ci/run`, it names it in SMH_GATEWAY_RELEASE.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::*;
use crate::support::binary::{Binary, Ran};
use crate::support::{TOKEN, send};
use crate::upstream::{Authority, Encrypted};

/// Who the program runs as.
const USER: u32 = 10932;

struct Image {
    /// What went into it.
    content: PathBuf,
    /// Its root filesystem.
    root: PathBuf,
    /// As Docker has it.
    config: Value,
    is_release: bool,
}

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(Image::build)
}

#[expect(clippy::disallowed_methods, reason = "set by ./test, and for no gateway")]
fn release() -> Option<PathBuf> {
    std::env::var_os("SMH_GATEWAY_RELEASE").map(PathBuf::from)
}

impl Image {
    /// The final stage of the Containerfile, with what its builder would have made.
    fn build() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "only root may chroot: run this test as root");
        let folder = root().join("target/image-test");
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        let (context, storage) = (folder.join("context"), folder.join("storage"));
        let content = context.join("image");
        fs::create_dir_all(&content).unwrap();
        let release = release();
        let is_release = release.is_some();
        let program = release.unwrap_or_else(|| env!("CARGO_BIN_EXE_smh-gateway").into());
        run(Command::new(root().join("deploy/image-root.sh")).arg(program).arg(&content));

        let containerfile = fs::read_to_string(root().join("deploy/Containerfile")).unwrap();
        let (_, stage) = containerfile.split_once("\nFROM scratch\n").unwrap();
        let copy = "COPY --from=builder /image /\n";
        assert_eq!(stage.matches(copy).count(), 1);
        let stage = format!("FROM scratch\n{}", stage.replace(copy, "COPY image /\n"));
        fs::write(context.join("Containerfile"), stage).unwrap();
        let buildah = |arguments: &[&str]| {
            let mut buildah = Command::new("buildah");
            buildah.arg("--root").arg(&storage).arg("--runroot").arg(folder.join("run"));
            run(buildah.args(["--storage-driver", "vfs"]).args(arguments)).trim().to_owned()
        };
        let here = context.to_str().unwrap();
        let how =
            ["--isolation", "chroot", "--format", "docker", "--build-arg", "REVISION=0123abc"];
        buildah(&[&["build"], &how[..], &["--tag", "smh-gateway", here]].concat());
        let inspected = buildah(&["inspect", "--type", "image", "smh-gateway"]);
        let config = serde_json::from_str::<Value>(&inspected).unwrap()["Docker"]["config"].take();
        let container = buildah(&["from", "smh-gateway"]);
        let root = buildah(&["mount", &container]).into();
        Self { content, root, config, is_release }
    }

    /// The files in it, below its root.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.content.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found
    }

    /// The program in its root filesystem, as its user, with nothing of the environment of the tests but
    /// the time zone of somewhere else.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg(format!("--userspec={USER}:{USER}")).arg("--groups=").arg(&self.root);
        let program = self.config["Entrypoint"][0].as_str().unwrap();
        command.arg(program).args(arguments).env_clear().env("TZ", "Asia/Shanghai");
        command.env("PATH", "/usr/sbin:/usr/bin:/bin").env("SMH_GATEWAY_LOG_FORMAT", "text");
        command
    }

    /// Puts a file where a cluster would mount it.
    fn mount(&self, path: &str, content: &str) {
        let path = self.root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    async fn health(&self, arguments: &[&str]) -> Ran {
        Binary::spawn(self.command(&[&["health"], arguments].concat())).ended().await
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_image_is_small_and_has_nothing_in_it_that_is_not_needed() {
    let image = image();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = image.files();
    let names: BTreeSet<_> =
        files.iter().map(name).filter(|name| !name.starts_with("ld-linux")).collect();
    let wanted =
        ["libc.so.6", "libgcc_s.so.1", "nsswitch.conf", "smh-gateway", "smh-gateway.cdx.json"];
    assert_eq!(names, wanted.map(str::to_owned).into());
    assert_eq!(files.len(), wanted.len() + 1, "and the loader: {files:?}");
    let size = |path: &PathBuf| path.metadata().unwrap().len();
    let whole: u64 = files.iter().map(size).sum();
    let program = size(&image.content.join("usr/bin/smh-gateway"));
    // The debug build is several times what will run.
    let (counted, most) = if image.is_release { (whole, 25) } else { (whole - program, 5) };
    assert!(counted < most * 1_000_000, "{counted} bytes");
}

#[test]
fn the_image_says_what_it_is_and_how_it_runs() {
    let config = &image().config;
    assert_eq!(config["User"], format!("{USER}:{USER}"), "a number, which is not root");
    assert_eq!(config["Entrypoint"], json!(["/usr/bin/smh-gateway"]));
    assert_eq!(config["Cmd"], json!(["serve", "--config", "/etc/smh-gateway/gateway.yaml"]));
    assert_eq!(config["StopSignal"], "SIGTERM");
    let health = json!(["CMD", "/usr/bin/smh-gateway", "health"]);
    assert_eq!(config["Healthcheck"]["Test"], health);
    let label = |name: &str| &config["Labels"][format!("org.opencontainers.image.{name}")];
    assert_eq!(label("title"), "smh-gateway");
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(label("description"), env!("CARGO_PKG_DESCRIPTION"));
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("revision"), "0123abc");

    let sidecar = kustomized("sidecar");
    let rendered = Rendered { form: "sidecar", by: "kustomize", objects: sidecar };
    let deployed = concat!("smh-gateway:", env!("CARGO_PKG_VERSION"));
    assert_eq!(rendered.gateway()["image"], deployed, "what is deployed is what is built");
}

#[test]
fn the_image_lists_what_it_is_made_of() {
    let file = image().content.join("usr/share/sbom/smh-gateway.cdx.json");
    let bom: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&json!("CycloneDX"), &json!("1.6")));
    let component = &bom["metadata"]["component"];
    assert_eq!(component["version"], env!("CARGO_PKG_VERSION"));
    let components = list(&bom["components"]);
    let named = |name: &str| components.iter().find(|one| one["name"] == name);
    for linked in ["hyper", "rustls", "aws-lc-sys", "tokio", "libc6"] {
        assert!(named(linked).is_some(), "{linked}");
    }
    for not_linked in ["proptest", "criterion", "syn", "smh-gateway"] {
        assert!(named(not_linked).is_none(), "{not_linked}");
    }
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let is_crate = |one: &&Value| one["purl"].as_str().unwrap().starts_with("pkg:cargo/");
    let crates: Vec<_> = components.iter().filter(is_crate).collect();
    assert!(crates.len() > 100, "{}", crates.len());
    for one in crates {
        let checksum = one["hashes"][0]["content"].as_str().unwrap();
        let entry = format!(
            "name = {}\nversion = {}\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{checksum}\"\n",
            one["name"], one["version"],
        );
        assert!(lock.contains(&entry), "{one}");
        assert!(!one["licenses"][0]["expression"].as_str().unwrap().is_empty(), "{one}");
    }
}

/// Answers every question for an IPv4 address with loopback.
fn name_server(address: &str) {
    let socket = UdpSocket::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let question = &packet[12..length];
            // The name, its end, and two bytes each of type and class; what else was asked along is left out.
            let end = question.iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_ipv4 = question[end - 4..end - 2] == [0, 1];
            let mut answer = packet[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
            answer.extend(&question[..end]);
            if is_ipv4 {
                answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
}

fn gateway_yaml(smh: &Encrypted, trusts: &str) -> String {
    let port = smh.address.port();
    format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]
admin: {{ address: 127.0.0.1:0 }}
upstream: {{ url: \"https://smhxxx.smh.test:{port}\", private_addresses: allow{trusts} }}
libraries: {{ smhxxx: {{ token: {{ file: /run/secrets/smh/access-token }} }} }}
tenants: {{ photos: {{ library: smhxxx, space: spacexxx }} }}
callers: {{ app: {{ trust: loopback, tenants: [photos] }} }}
audit: {{ file: /var/lib/smh-gateway/audit.jsonl }}
shutdown: {{ delay: 0s, drain: 2s }}
"
    )
}

#[tokio::test]
async fn in_the_image_names_are_resolved_roots_are_known_times_are_utc_and_the_journal_is_written()
{
    let image = image();
    name_server("127.53.53.53:53");
    let authority = Authority::new();
    let smh = Encrypted::start(authority.acceptor(&["smhxxx.smh.test"], &["http/1.1"])).await;
    image.mount("/etc/resolv.conf", "nameserver 127.53.53.53\n");
    image.mount("/run/secrets/smh/access-token", TOKEN);
    let ca = fs::read_to_string(authority.folder.path().join("ca.pem")).unwrap();
    image.mount("/etc/smh-gateway/ca.pem", &ca);
    let journals = image.root.join("var/lib/smh-gateway");
    fs::create_dir_all(&journals).unwrap();
    std::os::unix::fs::chown(&journals, Some(USER), Some(USER)).unwrap();
    let delete = "DELETE /v1/files/photos/a HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n";
    let serve: Vec<_> = list(&image.config["Cmd"]).iter().filter_map(Value::as_str).collect();

    image.mount("/etc/smh-gateway/gateway.yaml", &gateway_yaml(&smh, ", ca_file: ca.pem"));
    let gateway = Binary::serving(image.command(&serve)).await;
    let admin = gateway.admin.unwrap().to_string();
    for asks in [&["--address", &admin][..], &["--address", &admin, "--ready"]] {
        let ran = image.health(asks).await;
        assert_eq!((ran.code, &*ran.out), (Some(0), "ok\n"), "{}", ran.err);
    }
    let process = fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    assert!(process.contains(&format!("\nUid:\t{USER}\t{USER}\t{USER}\t{USER}\n")), "{process}");
    assert_eq!(send(gateway.data[0], delete.as_bytes()).await.status(), 200);
    assert_eq!(smh.simulator.received().len(), 1, "by its name, over TLS");
    let ran = gateway.stop().await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let time = ran.deletes()[0]["time"].as_str().unwrap().to_owned();
    let age = OffsetDateTime::now_utc() - OffsetDateTime::parse(&time, &Rfc3339).unwrap();
    assert!(time.ends_with('Z') && age.whole_seconds().abs() < 60, "{time}");
    let journal = journals.join("audit.jsonl");
    assert_eq!(journal.metadata().unwrap().uid(), USER);
    let verified =
        Binary::spawn(image.command(&["audit", "verify", "/var/lib/smh-gateway/audit.jsonl"]));
    assert_eq!(verified.ended().await.code, Some(0));
    assert_eq!(image.health(&["--address", &admin]).await.code, Some(1), "it has gone");

    // Of itself it trusts the public roots, which have not signed this one.
    image.mount("/etc/smh-gateway/gateway.yaml", &gateway_yaml(&smh, ""));
    let gateway = Binary::serving(image.command(&serve)).await;
    let answer = send(gateway.data[0], delete.as_bytes()).await;
    assert_eq!((answer.status(), answer.outcome()), (502, "not_sent".to_owned()));
    let ran = gateway.stop().await;
    assert!(ran.out.contains("UnknownIssuer"), "{} {}", ran.out, ran.err);
    assert_eq!(smh.simulator.received().len(), 1);
}
