//! The whole of it in a real cluster: the charts, the image, pods, volumes, Services.
//!
//! ```sh
//! make e2e          # KUBECONFIG names the cluster; IMAGE and E2E_IMAGE are images that its nodes have
//! ```
//!
//! Where `IMAGE` has a registry in its name, `E2E_NEXT_IMAGE` names what is upgraded to: the same by another name will do.
//!
//! Each test has a namespace and an installation of its own, which watches that namespace alone, so that none sees
//! another. What a pod logged and what happened in the namespace is printed when a test fails. `kubectl` and `helm` are the
//! only way to the cluster, as they are for users.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

/// One file per promise.
mod e2e {
    mod charts;
    mod delivering;
    mod faults;
    mod rights;
    mod scaling;
    mod support;
    mod uninstalling;
}
