//! Where kube-apiserver and etcd come from: the folder that `KUBEBUILDER_ASSETS` names, else built
//! once from their Go modules into the user's cache.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};

/// What is needed, with the Go package of each.
const PROGRAMS: [(&str, &str); 2] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
];

/// The folder with both.
///
/// # Panics
/// When they are nowhere and cannot be built; the message says what to install.
pub fn find_or_build() -> PathBuf {
    let named = std::env::var_os("KUBEBUILDER_ASSETS").filter(|it| !it.is_empty());
    if let Some(folder) = named.map(PathBuf::from) {
        for (name, _) in PROGRAMS {
            let path = folder.join(name);
            assert!(
                path.is_file(),
                "KUBEBUILDER_ASSETS is {}, but there is no {name} in it",
                folder.display()
            );
        }
        return folder;
    }
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools");
    let sums = std::fs::read(modules.join("go.sum")).unwrap();
    let version = hex::encode(&digest(&SHA256, &sums).as_ref()[..8]);
    let folder = cache().join("api-server").join(version);
    let is_there = |name: &str| folder.join(name).is_file();
    if PROGRAMS.iter().all(|(name, _)| is_there(name)) {
        return folder;
    }
    std::fs::create_dir_all(&folder).unwrap();
    // Two runs of the tests at the same time build once.
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    for (name, package) in PROGRAMS {
        if !is_there(name) {
            build(&modules, &folder, name, package);
        }
    }
    folder
}

/// helm: where `KUBEBUILDER_ASSETS` says, else in PATH.
///
/// # Panics
/// When it is nowhere; the message says what to install.
pub fn helm() -> PathBuf {
    let named = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = named.into_iter().chain(std::env::split_paths(&path));
    let mut programs = folders.map(|folder| folder.join("helm"));
    programs
        .find(|program| program.is_file())
        .expect("this test needs helm 3 or later: install it, so that it is in PATH")
}

fn build(modules: &Path, folder: &Path, name: &str, package: &str) {
    // Past the capture of what tests print: whoever waits should know for what.
    let _ = writeln!(
        std::io::stderr(),
        "building {name} from its Go module into {}; this happens once and takes minutes (set \
         KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd to avoid it)",
        folder.display()
    );
    let stamp = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
                 -X k8s.io/component-base/version.gitMajor=1 \
                 -X k8s.io/component-base/version.gitMinor=36";
    let temporary = folder.join(format!(".{name}.new"));
    let status = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", stamp, "-o"])
        .arg(&temporary)
        .arg(package)
        .current_dir(modules)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .status();
    let built = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    assert!(
        built,
        "tests against a real API server need kube-apiserver and etcd: set KUBEBUILDER_ASSETS to a \
         folder that holds them (setup-envtest downloads one), or install Go 1.26 or later and have \
         the Go module proxy reachable, so that they can be built ({status:?})"
    );
    std::fs::rename(&temporary, folder.join(name)).unwrap();
}

fn cache() -> PathBuf {
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|it| !it.is_empty());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    named.map_or_else(home, PathBuf::from).join("tidegate")
}
