//! A real Kubernetes API server for tests: kube-apiserver and etcd as child processes on loopback.
//!
//! All tests of the program share one, each with namespaces of its own; tests that need none never
//! wait for it. There are no other parts of Kubernetes: nothing runs pods, and what a controller
//! of Kubernetes would do (removing what is in a deleted namespace, say) tests do themselves.

pub mod binaries;
mod certificates;
pub mod controller;
mod store;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::eventually;

/// How long the API server may take to be ready: a busy machine with few cores is slow.
const START: Duration = Duration::from_secs(180);

/// How often a busy port is given up for other ones.
const TRIES: usize = 3;

/// A running API server.
pub struct ApiServer {
    folder: PathBuf,
    url: String,
    /// Of the store behind it.
    etcd: String,
    admin_token: String,
    ca: String,
    /// A shell that ends everything when this process does, however it ends: its stdin closes.
    _guard: Child,
}

/// Ends what it started when nobody holds its stdin any more, and removes the folder.
const GUARD: &str = r#"
folder=$1; shift
"$folder/etcd.sh" </dev/null & etcd=$!
"$folder/api.sh" </dev/null & api=$!
read -r _
kill $api $etcd 2>/dev/null
sleep 1
kill -9 $api $etcd 2>/dev/null
rm -rf "$folder"
"#;

impl ApiServer {
    /// The one of this program, started when it is first asked for.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ApiServer> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(&[])).await
    }

    /// Another one with further arguments, for tests that look at everything in it. It ends when the
    /// program does.
    pub async fn own(arguments: &[&str]) -> &'static Self {
        Box::leak(Box::new(Self::start(arguments).await))
    }

    async fn start(arguments: &[&str]) -> Self {
        // Building takes minutes when there is nothing in the cache, and blocks.
        let binaries = tokio::task::spawn_blocking(binaries::find_or_build)
            .await
            .unwrap();
        for attempt in 1..=TRIES {
            let server = Self::spawn(&binaries, arguments);
            if server.is_ready().await {
                server.install_crds().await;
                return server;
            }
            let log = std::fs::read_to_string(server.folder.join("api.log")).unwrap_or_default();
            let end = log.len().saturating_sub(4_000);
            eprintln!(
                "attempt {attempt}: the API server did not become ready:\n{}",
                &log[log.ceil_char_boundary(end)..]
            );
        }
        panic!("the API server did not become ready; see above");
    }

    fn spawn(binaries: &Path, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let certificates = certificates::make();
        let write = |name: &str, content: &str| {
            std::fs::write(folder.join(name), content).unwrap();
        };
        write("ca.crt", &certificates.ca);
        write("server.crt", &certificates.server);
        write("server.key", &certificates.server_key);
        write("accounts.key", &certificates.accounts_key);
        write("accounts.pub", &certificates.accounts_public_key);
        let admin_token = uuid::Uuid::new_v4().simple().to_string();
        write(
            "tokens.csv",
            &format!("{admin_token},admin,admin,system:masters\n"),
        );
        write(
            "audit.yaml",
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n\
             rules: [{level: Metadata}]\n",
        );
        let [etcd, peer, api] = free_ports();
        let at = |name: &str| folder.join(name).display().to_string();
        let etcd_url = format!("http://127.0.0.1:{etcd}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        script(
            &folder.join("etcd.sh"),
            &folder.join("etcd.log"),
            &binaries.join("etcd"),
            &[
                format!("--data-dir={}", at("etcd")),
                "--unsafe-no-fsync".into(),
                format!("--listen-client-urls={etcd_url}"),
                format!("--advertise-client-urls={etcd_url}"),
                format!("--listen-peer-urls={peer_url}"),
                format!("--initial-advertise-peer-urls={peer_url}"),
                format!("--initial-cluster=default={peer_url}"),
            ],
        );
        let mut arguments = vec![
            format!("--etcd-servers={etcd_url}"),
            "--bind-address=127.0.0.1".into(),
            "--advertise-address=127.0.0.1".into(),
            format!("--secure-port={api}"),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            "--authorization-mode=RBAC".into(),
            // Nothing makes the ServiceAccounts that this plugin waits for.
            "--disable-admission-plugins=ServiceAccount".into(),
            // Off by default, and on in some clusters.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".into(),
            format!("--cert-dir={}", at("certificates")),
            format!("--tls-cert-file={}", at("server.crt")),
            format!("--tls-private-key-file={}", at("server.key")),
            format!("--token-auth-file={}", at("tokens.csv")),
            format!("--service-account-key-file={}", at("accounts.pub")),
            format!("--service-account-signing-key-file={}", at("accounts.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--audit-policy-file={}", at("audit.yaml")),
            format!("--audit-log-path={}", at("audit.log")),
        ];
        arguments.extend(more.iter().map(|it| (*it).to_owned()));
        script(
            &folder.join("api.sh"),
            &folder.join("api.log"),
            &binaries.join("kube-apiserver"),
            &arguments,
        );
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            folder,
            url: format!("https://127.0.0.1:{api}"),
            etcd: etcd_url,
            admin_token,
            ca: certificates.ca,
            _guard: guard,
        }
    }

    async fn is_ready(&self) -> bool {
        let root = reqwest::Certificate::from_pem(self.ca.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([root])
            .build()
            .unwrap();
        let begin = Instant::now();
        while begin.elapsed() < START {
            let request = client.get(format!("{}/readyz", self.url));
            let answer = request.bearer_auth(&self.admin_token).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        false
    }

    /// The committed CRDs, and waits until they are served.
    async fn install_crds(&self) {
        let client = self.admin().await;
        let api: Api<CustomResourceDefinition> = Api::all(client);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        let mut names = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let crd: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
            let name = crd.metadata.name.clone().unwrap();
            api.create(&PostParams::default(), &crd).await.unwrap();
            names.push(name);
        }
        eventually("the CRDs are served", async || {
            for name in &names {
                let crd = api.get(name).await.unwrap();
                let conditions = crd.status.and_then(|it| it.conditions).unwrap_or_default();
                let is_served = conditions
                    .iter()
                    .any(|it| it.type_ == "Established" && it.status == "True");
                if !is_served {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// A client that may do everything. Each test has its own: connections belong to a runtime.
    pub async fn admin(&self) -> Client {
        self.client(&self.admin_token).await
    }

    async fn client(&self, token: &str) -> Client {
        let ca = pem_to_der(&self.ca);
        let mut config = Config::new(self.url.parse().unwrap());
        config.root_cert = Some(vec![ca]);
        config.auth_info = AuthInfo {
            token: Some(token.to_owned().into()),
            ..AuthInfo::default()
        };
        Client::try_from(config).unwrap()
    }

    /// A new namespace for a test, with a name that begins like this.
    pub async fn namespace(&self, purpose: &str) -> String {
        let random = uuid::Uuid::new_v4().simple().to_string();
        self.namespace_named(&format!("{purpose}-{}", &random[..8]))
            .await
    }

    /// A namespace with just this name, which is made if it is not there.
    pub async fn namespace_named(&self, name: &str) -> String {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let api: Api<Namespace> = Api::all(self.admin().await);
        let parameters = PatchParams::apply("test").force();
        let patch = Patch::Apply(&namespace);
        api.patch(name, &parameters, &patch).await.unwrap();
        name.to_owned()
    }

    /// A kubeconfig for a new ServiceAccount that may do everything, so that what it does can be
    /// told from what others do. The file is removed with the server's folder.
    pub async fn kubeconfig(&self, namespace: &str, account: &str) -> PathBuf {
        let binding = json!({
            "metadata": {"name": format!("{namespace}-{account}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        });
        let binding: ClusterRoleBinding = serde_json::from_value(binding).unwrap();
        let api: Api<ClusterRoleBinding> = Api::all(self.admin().await);
        api.create(&PostParams::default(), &binding).await.unwrap();
        self.kubeconfig_of(namespace, account).await
    }

    /// A kubeconfig for a ServiceAccount with the rights that it has. The file is removed with the
    /// server's folder.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.account_token(namespace, account, &[]).await;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": self.url,
                "certificate-authority": self.folder.join("ca.crt"),
            }}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        let path = self
            .folder
            .join(format!("{namespace}-{account}.kubeconfig"));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// A token of a ServiceAccount, which is made if it is not there.
    pub async fn account_token(
        &self,
        namespace: &str,
        account: &str,
        audiences: &[&str],
    ) -> String {
        let client = self.admin().await;
        let api: Api<ServiceAccount> = Api::namespaced(client, namespace);
        let object = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace},
        });
        let apply = PatchParams::apply("test").force();
        api.patch(account, &apply, &Patch::Apply(object))
            .await
            .unwrap();
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audiences.iter().map(|it| (*it).to_owned()).collect(),
                expiration_seconds: Some(7_200),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let parameters = PostParams::default();
        let answer = api
            .create_token_request(account, &parameters, &request)
            .await;
        answer.unwrap().status.unwrap().token
    }

    /// What the audit log says of the requests of a ServiceAccount so far, in order.
    pub fn audited(&self, namespace: &str, account: &str) -> Vec<Value> {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let log = std::fs::read_to_string(self.folder.join("audit.log")).unwrap();
        // The last line may be half written.
        let events = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        events
            .filter(|event: &Value| event["user"]["username"] == *user)
            .collect()
    }

    /// What a ServiceAccount has written so far, as `verb resource namespace/name`, in order.
    pub fn writes(&self, namespace: &str, account: &str) -> Vec<String> {
        let mut writes = Vec::new();
        for event in self.audited(namespace, account) {
            let verb = event["verb"].as_str().unwrap_or_default();
            if !matches!(verb, "get" | "list" | "watch") {
                let object = &event["objectRef"];
                let part = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
                writes.push(format!(
                    "{verb} {}{}{} {}/{}",
                    part("resource"),
                    if part("subresource").is_empty() {
                        ""
                    } else {
                        "/"
                    },
                    part("subresource"),
                    part("namespace"),
                    part("name")
                ));
            }
        }
        writes
    }
}

fn pem_to_der(pem: &str) -> Vec<u8> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

/// A script that becomes a program whose output goes to a file.
fn script(path: &Path, log: &Path, program: &Path, arguments: &[String]) {
    use std::os::unix::fs::PermissionsExt;
    let quoted: Vec<String> = arguments.iter().map(|it| format!("'{it}'")).collect();
    let text = format!(
        "#!/bin/sh\nexec '{}' {} >'{}' 2>&1\n",
        program.display(),
        quoted.join(" "),
        log.display()
    );
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// Ports that were free a moment ago.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
