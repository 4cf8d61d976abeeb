//! What the standard variables say
//! (OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter"). Pure.
//!
//! Most of them are read by the exporter and the sampler themselves: `OTEL_EXPORTER_OTLP_HEADERS`,
//! `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_…`. Here is whether there are
//! traces at all; and values that those would quietly replace by their defaults are refused.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

/// The one protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";

/// How long a request takes at most unless a variable says otherwise (the specification's default).
const TIMEOUT: Duration = Duration::from_secs(10);

/// Samplers without an argument, and those whose argument is a ratio.
const SAMPLERS: [(&str, bool); 6] = [
    ("always_on", false),
    ("always_off", false),
    ("traceidratio", true),
    ("parentbased_always_on", false),
    ("parentbased_always_off", false),
    ("parentbased_traceidratio", true),
];

/// What a controller hands on to the pods that it makes. Not among them: what may be secret (headers),
/// names a file (certificates), or is the controller's own (the service's name).
const HANDED_ON: [&str; 9] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
];

/// What of these variables a controller's pods get.
pub fn handed_on(variable: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let given = HANDED_ON
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), variable(name)?)));
    given.collect()
}

/// Where traces are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A file of certificate authorities (PEM) that are trusted instead of the public ones.
    pub certificate: Option<String>,
    /// How long one request to the collector may take.
    pub timeout: Duration,
    /// Whether a variable names the service.
    pub names_service: bool,
}

/// A variable that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is {value:?}: {problem}")]
pub struct SettingsError {
    variable: String,
    value: String,
    problem: String,
}

/// What `variable` says; `None`: there are no traces.
///
/// # Errors
/// When a variable makes no sense.
pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Settings>, SettingsError> {
    // An empty one is as if it were not there.
    let read = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    // The variables for traces alone win over those for everything.
    let of_traces = |name: &str| {
        let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
        let all = format!("OTEL_EXPORTER_OTLP_{name}");
        read(&own)
            .map(|value| (own, value))
            .or_else(|| read(&all).map(|value| (all, value)))
    };
    if read("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    match read("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => {
            return refuse("OTEL_TRACES_EXPORTER", other, "write otlp or none");
        }
    }
    let Some((name, endpoint)) = of_traces("ENDPOINT") else {
        return Ok(None);
    };
    let is_url = Url::parse(&endpoint)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !is_url {
        let problem = "write the collector's URL, such as http://collector.observability.svc:4318";
        return refuse(&name, &endpoint, problem);
    }
    if let Some((name, protocol)) = of_traces("PROTOCOL")
        && protocol != PROTOCOL
    {
        let problem = "write http/protobuf, which collectors take at port 4318";
        return refuse(&name, &protocol, problem);
    }
    if let Some(sampler) = read("OTEL_TRACES_SAMPLER") {
        let Some((_, has_ratio)) = SAMPLERS.iter().find(|(name, _)| *name == sampler) else {
            let names = SAMPLERS.map(|(name, _)| name).join(", ");
            let problem = format!("write one of {names}");
            return refuse("OTEL_TRACES_SAMPLER", &sampler, &problem);
        };
        let ratio = read("OTEL_TRACES_SAMPLER_ARG");
        let is_ratio = |text: &String| {
            let ratio = text.parse::<f64>();
            ratio.is_ok_and(|ratio| (0.0..=1.0).contains(&ratio))
        };
        if let Some(ratio) = ratio.filter(|ratio| *has_ratio && !is_ratio(ratio)) {
            let problem = "write a number from 0 to 1, such as 0.1";
            return refuse("OTEL_TRACES_SAMPLER_ARG", &ratio, problem);
        }
    }
    let timeout = match of_traces("TIMEOUT") {
        None => TIMEOUT,
        Some((name, text)) => match text.parse() {
            Ok(milliseconds @ 1..) => Duration::from_millis(milliseconds),
            _ => return refuse(&name, &text, "write milliseconds, such as 10000"),
        },
    };
    Ok(Some(Settings {
        timeout,
        certificate: of_traces("CERTIFICATE").map(|(_, path)| path),
        names_service: read("OTEL_SERVICE_NAME").is_some(),
    }))
}

fn refuse<T>(variable: &str, value: &str, problem: &str) -> Result<T, SettingsError> {
    Err(SettingsError {
        variable: variable.to_owned(),
        value: value.to_owned(),
        problem: problem.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
        read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn there_are_traces_where_a_collector_is_named_and_nothing_speaks_against_it() {
        assert_eq!(with(&[]), Ok(None));
        assert_eq!(with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), Ok(None));
        let plain = Settings {
            certificate: None,
            timeout: Duration::from_secs(10),
            names_service: false,
        };
        assert_eq!(with(&[ENDPOINT]), Ok(Some(plain)));
        let traces = (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "https://collector/v1/traces",
        );
        let certificate = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem");
        let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "250");
        let name = ("OTEL_SERVICE_NAME", "hooks");
        let all = with(&[traces, certificate, timeout, name]);
        let expected = Settings {
            certificate: Some("/ca.pem".into()),
            timeout: Duration::from_millis(250),
            names_service: true,
        };
        assert_eq!(all, Ok(Some(expected)));
        for off in [
            ("OTEL_SDK_DISABLED", "TRUE"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ] {
            assert_eq!(with(&[ENDPOINT, off]), Ok(None), "{off:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_write() {
        let cases = [
            (("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"), "http://"),
            (
                ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
                "http/protobuf",
            ),
            (("OTEL_TRACES_EXPORTER", "zipkin"), "otlp or none"),
            (("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), "10000"),
            (("OTEL_TRACES_SAMPLER", "xray"), "parentbased_traceidratio"),
        ];
        for (variable, hint) in cases {
            let error = with(&[variable, ENDPOINT]).unwrap_err().to_string();
            assert!(
                error.contains(variable.0) && error.contains(hint),
                "{error}"
            );
        }
        let sampler = ("OTEL_TRACES_SAMPLER", "traceidratio");
        for ratio in ["1.5", "ten", "-1", "NaN"] {
            let refused = with(&[ENDPOINT, sampler, ("OTEL_TRACES_SAMPLER_ARG", ratio)]);
            assert!(refused.unwrap_err().to_string().contains("0.1"), "{ratio}");
        }
        let taken = with(&[ENDPOINT, sampler, ("OTEL_TRACES_SAMPLER_ARG", "0.25")]);
        assert!(taken.unwrap().is_some());
    }
}
