use std::path::Path;

use strongroom_core::throttle::{Rate, Rates};

use super::*;

const SAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating/strongroom.sample.toml"));

fn settings(text: &str, flags: Flags) -> Result<Settings, SettingsError> {
    Settings::resolve(Configuration::parse(text).unwrap(), flags, Some("/var/lib/somebody".into()))
}

fn line(text: &str) -> String {
    let problem = Configuration::parse(text).expect_err(text).to_string();
    assert!(!problem.contains('\n'), "one line: {problem}");
    problem
}

#[test]
fn the_documented_sample_says_every_key() {
    let sample = Configuration::parse(SAMPLE).unwrap();
    let Configuration {
        data_dir,
        domain,
        listen,
        public,
        tls,
        root,
        security_domain,
        store: _,
        cluster: _,
        issuer,
        attestation,
        network,
        trusted_service,
        proxy,
        storage_account,
        backup,
        metadata,
        limits,
        throttle,
        audit,
        metrics,
        telemetry: _,
        log: _,
    } = sample;
    assert!(data_dir.is_some() && domain.is_some() && listen.is_some());
    assert!(public.port.is_some() && !public.suffixes.is_empty() && public.drain_seconds > 0);
    assert!(tls.certificate_file.is_some() && tls.private_key_file.is_some() && !tls.extra_ca_files.is_empty());
    assert!(root.file.is_some() && root.require_locked_memory);
    assert_eq!(security_domain, SecurityDomain::default(), "the sample shows the default");
    assert!(issuer.len() == 1 && issuer[0].ca_file.is_some());
    assert!(attestation.len() == 2 && attestation[0].ca_file.is_some() && attestation[1].jwks_file.is_some());
    assert!(network.len() == 1 && !network[0].clients.is_empty() && trusted_service.len() == 1);
    assert!(!proxy.addresses.is_empty() && proxy.client_address.is_some());
    assert!(storage_account.len() == 1 && storage_account[0].key_file.is_some());
    assert!(backup.directories.is_some() && !backup.allowed_hosts.is_empty());
    assert_eq!(limits, strongroom_core::Limits::default(), "the sample shows the defaults");
    let Throttle { per_principal_per_second, per_principal_burst, per_key_per_second, per_key_burst } = throttle;
    for shown in [per_principal_per_second, per_principal_burst, per_key_per_second, per_key_burst] {
        assert!(shown.is_some());
    }
    assert!(audit.retention_days.is_some() && audit.checkpoint_file.is_some() && audit.checkpoint_url.is_some());
    assert!(metrics.listen.is_some());
    let defaults = Audit::default();
    assert_eq!(
        (audit.segment_mib, audit.segment_hours, audit.checkpoint_seconds),
        (defaults.segment_mib, defaults.segment_hours, defaults.checkpoint_seconds)
    );
    assert!(metadata.listen.is_some() && !metadata.identities.is_empty());
    let limits = SAMPLE.split("\n[limits]\n").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    assert_eq!(limits.lines().filter(|line| line.contains(" = ")).count(), 8, "each limit is shown");
    for line in ["provider = ", "download_again = ", "kind = ", "on_full = ", "format = ", "level = "] {
        assert!(SAMPLE.contains(&format!("\n{line}")), "{line} has a default and is documented all the same");
    }
}

#[test]
fn nothing_is_throttled_unless_it_is_set_and_a_burst_is_as_much_as_comes_back_in_a_second() {
    let rates = |text: &str| settings(text, Flags::default()).map(|settings| settings.throttle);
    let rate = |per_second: u32, burst: u32| {
        Some(Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() })
    };
    assert_eq!(rates("").unwrap(), Rates::default());
    let both =
        rates("[throttle]\nper_principal_per_second = 50\nper_key_per_second = 20\nper_key_burst = 100").unwrap();
    assert_eq!(both, Rates { per_principal: rate(50, 50), per_key: rate(20, 100) });
    let highest = rates("[throttle]\nper_key_per_second = 1000000").unwrap();
    assert_eq!(highest, Rates { per_principal: None, per_key: rate(1_000_000, 1_000_000) });
}

#[test]
fn buckets_that_cannot_be_are_refused_with_what_helps() {
    for key in ["per_principal_per_second", "per_principal_burst", "per_key_per_second", "per_key_burst"] {
        for wrong in ["0", "-1", "\"10\"", "0.5"] {
            let problem = line(&format!("[throttle]\n{key} = {wrong}"));
            assert!(problem.starts_with(&format!("line 2: throttle.{key}: ")), "{problem}");
            assert!(problem.ends_with(" from 1 to 1000000"), "{problem}");
        }
        let refused = settings(&format!("[throttle]\n{key} = 1000001"), Flags::default()).unwrap_err();
        assert_eq!(refused.to_string(), format!("throttle.{key} must be 1 to 1000000"));
    }
    let alone = settings("[throttle]\nper_key_burst = 10", Flags::default()).unwrap_err();
    assert_eq!(alone.to_string(), "throttle.per_key_burst is set, but throttle.per_key_per_second is not");
    assert_eq!(alone.remedy(), "set both, or neither to limit nothing");
    assert!(line("[throttle]\nper_second = 1").contains("unknown field"));
}

#[test]
fn the_documented_sample_can_be_served() {
    let settings = settings(SAMPLE, Flags::default()).unwrap();
    assert_eq!(settings.domains().len(), 2);
    assert!(!settings.is_local());
    assert_eq!(settings.metadata, MetadataListener::Off);
}

#[test]
fn blob_stores_have_names_of_their_own_and_folders_for_backups_are_absolute() {
    let account = "[[storage_account]]\nname = \"acct\"\nblob_endpoint = \"https://acct.blob.example\"\n";
    assert_eq!(settings(account, Flags::default()).unwrap().storage.accounts.len(), 1);
    let twice = settings(&format!("{account}{account}"), Flags::default());
    assert_eq!(twice.unwrap_err(), SettingsError::StorageAccountTwice("acct".to_owned()));
    for odd in ["backups", "/var/../backups"] {
        let refused = settings(&format!("[backup]\ndirectories = [\"{odd}\"]"), Flags::default());
        assert_eq!(refused.unwrap_err(), SettingsError::BackupDirectory(odd.into()));
    }
    for (rule, name) in [
        ("fresh_target_backup_minutes = 0", "fresh_target_backup_minutes"),
        ("fresh_target_backup_minutes = 1441", "fresh_target_backup_minutes"),
        ("earliest_end_seconds = 61", "earliest_end_seconds"),
    ] {
        let refused = settings(&format!("[backup]\n{rule}"), Flags::default()).unwrap_err();
        assert!(refused.to_string().starts_with(&format!("backup.{name} must be ")), "{refused}");
    }
    for (key, text) in [
        ("storage_account.name", account.replace("acct\"", "Acct\"")),
        ("storage_account.blob_endpoint", account.replace("https", "http")),
        ("backup.allowed_hosts", "[backup]\nallowed_hosts = [\"https://a\"]".to_owned()),
    ] {
        assert!(line(&text).contains(&format!("{key}: ")), "{}", line(&text));
    }
}

#[test]
fn a_network_that_nobody_could_be_of_is_refused() {
    let network = |subnet: &str, listen: &str, clients: &str| {
        format!("[[network]]\nsubnet = \"{subnet}\"\nlisten = \"{listen}\"\nclients = [{clients}]\n")
    };
    let all = |networks: &[String]| settings(&networks.concat(), Flags::default());
    let (here, there) = ("10.1.0.1:8443", "10.1.0.2:8443");
    let anybody = network("plant/any", here, "");
    for good in [
        [network("plant/some", here, "\"10.1.0.0/16\""), network("plant/others", here, "\"10.2.0.0/16\"")],
        [network("plant/some", here, "\"10.1.0.0/16\""), anybody.clone()],
        [anybody.clone(), network("plant/others", there, "")],
    ] {
        assert_eq!(all(&good).unwrap().networks.len(), 2);
    }
    for clients in ["", "\"10.1.0.0/16\""] {
        let refused = all(&[anybody.clone(), network("plant/nobody", here, clients)]).unwrap_err();
        let (subnet, listen) = ("plant/nobody".to_owned(), here.parse().unwrap());
        assert_eq!(refused, SettingsError::NetworkHidden { subnet, listen });
    }
}

#[test]
fn names_of_files_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strongroom.toml");
    let text = "data_dir = \"data\"\n[tls]\nextra_ca_files = [\"a.pem\", \"/b.pem\"]\n";
    std::fs::write(&path, text).unwrap();
    let configuration = Configuration::read(&path).unwrap();
    assert_eq!(configuration.data_dir, Some(folder.path().join("data")));
    assert_eq!(configuration.tls.extra_ca_files, [folder.path().join("a.pem"), "/b.pem".into()]);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_what_is_known() {
    let problem = line("domain = \"localhost\"\n\n[public]\nprot = 1\n");
    assert!(
        problem.starts_with(
            "line 4: public.prot: unknown field `prot`, expected one of `port`, `suffixes`, `drain_seconds`"
        ),
        "{problem}"
    );
    assert!(line("[tsl]\n").starts_with("line 1: tsl: unknown field"), "{}", line("[tsl]\n"));
}

#[test]
fn a_wrong_value_is_refused_with_its_line_and_what_is_allowed() {
    for (text, parts) in [
        ("listen = \"127.0.0.1\"", ["line 1: listen: ", "allowed: a list of ADDRESS:PORT"]),
        ("\nlisten = [\n  \"127.0.0.1:1\",\n  \"x\",\n]", ["line 4: listen: ", "allowed: a list of ADDRESS:PORT"]),
        ("[public]\nport = 70000", ["line 2: public.port: ", "allowed: a port from 1 to 65535"]),
        ("[public]\nport = \"x\"", ["line 2: public.port: ", "allowed: a port from 1 to 65535"]),
        ("domain = \"a..b\"", ["line 1: domain: ", "allowed: a domain"]),
        ("[root]\nprovider = \"tpm\"", ["line 2: root.provider: ", "expected `file`"]),
        ("[store]\n# which\nkind = \"etc\"", ["line 3: store.kind: ", "expected `embedded` or `etcd`"]),
        ("[store]\ntimeout_seconds = \"x\"", ["line 2: store.timeout_seconds: ", "allowed: seconds from 1 to 60"]),
        ("[audit]\non_full = \"x\"", ["line 2: audit.on_full: ", "allowed: \"stop\" or \"serve\""]),
        ("[log]\nlevel = \"loud\"", ["line 2: log.level: ", "expected one of `error`"]),
        ("domain = ", ["line 1: ", ""]),
        ("a = 1\na = 2", ["line 2: ", "duplicate"]),
    ] {
        let problem = line(text);
        for part in parts {
            assert!(problem.contains(part), "{text:?} gives {problem:?}, which lacks {part:?}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Configuration::read(Path::new("/does/not/exist.toml")).unwrap_err();
    assert!(error.to_string().starts_with("/does/not/exist.toml: No such file"), "{error}");
}

#[test]
fn nothing_configured_is_a_local_profile() {
    let settings = settings("", Flags::default()).unwrap();
    assert!(settings.is_local() && settings.listen_by_default);
    assert_eq!(settings.listen, ["127.0.0.1:8443".parse().unwrap(), "[::1]:8443".parse().unwrap()]);
    assert_eq!(settings.metadata, MetadataListener::At("127.0.0.1:8480".parse().unwrap()));
    assert_eq!(settings.domains(), [Domain::localhost()]);
    assert_eq!(settings.data_dir, Path::new("/var/lib/somebody"));
    assert_eq!(settings.root_file, Path::new("/var/lib/somebody/root.key"));
}

#[test]
fn one_listener_outside_loopback_ends_the_local_profile() {
    let flags =
        Flags { listen: vec!["127.0.0.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap()], ..Flags::default() };
    let settings = settings("", flags).unwrap();
    assert!(!settings.is_local() && !settings.listen_by_default);
    assert_eq!(settings.metadata, MetadataListener::Off);
}

#[test]
fn flags_override_the_file() {
    let text = "data_dir = \"/a\"\ndomain = \"a.example\"\nlisten = [\"127.0.0.1:1\"]\n[metadata]\nlisten = \"off\"";
    let flags = Flags {
        data_dir: Some("/b".into()),
        domain: Some("b.example".parse().unwrap()),
        listen: vec!["127.0.0.1:2".parse().unwrap()],
        metadata: Some("127.0.0.1:3".to_owned()),
        log_format: Some(LogFormat::Json),
        ..Flags::default()
    };
    let settings = settings(text, flags).unwrap();
    assert_eq!(settings.data_dir, Path::new("/b"));
    assert_eq!(settings.domains(), ["b.example".parse().unwrap()]);
    assert_eq!(settings.listen, ["127.0.0.1:2".parse().unwrap()]);
    assert_eq!(settings.metadata, MetadataListener::At("127.0.0.1:3".parse().unwrap()));
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn the_metadata_service_never_listens_on_the_network() {
    let with = |text: &str| settings("", Flags { metadata: Some(text.to_owned()), ..Flags::default() });
    assert_eq!(with("0.0.0.0:80").unwrap_err(), SettingsError::MetadataExposed("0.0.0.0".parse().unwrap()));
    assert_eq!(with("[2001:db8::1]:80").unwrap_err(), SettingsError::MetadataExposed("2001:db8::1".parse().unwrap()));
    assert_eq!(with("on").unwrap_err(), SettingsError::MetadataAddress("on".to_owned()));
    for here in ["127.0.0.1:80", "169.254.169.254:80", "[::1]:80", "[fe80::1]:80"] {
        assert_eq!(with(here).unwrap().metadata, MetadataListener::At(here.parse().unwrap()));
    }
}

#[test]
fn a_collector_is_refused_by_a_program_that_has_no_use_for_one_and_if_it_would_be_spoken_to_in_the_clear() {
    let endpoint = |url: &str| settings(&format!("[telemetry]\notlp_endpoint = \"{url}\""), Flags::default());
    if cfg!(feature = "otlp") {
        assert!(endpoint("https://collector.example.com:4318").is_ok());
        let clear = endpoint("http://collector.example.com:4318").unwrap_err();
        assert!(matches!(clear, SettingsError::OtlpEndpoint));
    } else {
        assert_eq!(endpoint("https://collector.example.com:4318").unwrap_err(), SettingsError::NoOtlp);
    }
    assert!(SAMPLE.contains("\n# otlp_endpoint = "), "documented, but not every program takes it");
}

#[test]
fn a_store_in_etcd_is_refused_by_a_program_that_has_none() {
    let store = settings("[store]\nkind = \"etcd\"\nendpoints = [\"http://127.0.0.1:2379\"]", Flags::default());
    if cfg!(feature = "etcd") {
        assert!(matches!(store.unwrap().store, StorePlace::Etcd(_)));
    } else {
        assert_eq!(store.unwrap_err(), SettingsError::NoEtcd);
    }
    assert_eq!(settings("", Flags::default()).unwrap().store, StorePlace::Embedded);
    assert!(SAMPLE.contains("\n# kind = \"etcd\"\n"), "documented, but not every program takes it");
}

#[test]
fn the_documented_sample_says_every_key_of_etcd() {
    let section = SAMPLE.split("\n[store]\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let keys = section.lines().filter_map(|line| line.strip_prefix("# "));
    let keys: Vec<&str> = keys.filter(|line| line.split(' ').nth(1) == Some("=")).collect();
    let Store {
        kind,
        endpoints,
        prefix,
        ca_file,
        certificate_file,
        private_key_file,
        user,
        password_file,
        timeout_seconds,
        history_minutes,
    } = Configuration::parse(&format!("[store]\n{}", keys.join("\n"))).unwrap().store;
    assert!(kind == StoreKind::Etcd && endpoints.len() == 3 && prefix.is_some());
    assert!(ca_file.is_some() && certificate_file.is_some() && private_key_file.is_some());
    assert!(user.is_some() && password_file.is_some());
    assert!(timeout_seconds.is_some() && history_minutes.is_some());
}

#[test]
fn the_documented_sample_says_every_key_of_a_cluster() {
    let section = SAMPLE.split("\n# [cluster]\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let keys = section.lines().filter_map(|line| line.strip_prefix("# "));
    let keys: Vec<&str> = keys.filter(|line| line.split(' ').nth(1) == Some("=")).collect();
    let cluster = Configuration::parse(&format!("[cluster]\n{}", keys.join("\n"))).unwrap().cluster;
    let Cluster { serving_seconds, margin_milliseconds } = cluster;
    assert_eq!((serving_seconds, margin_milliseconds), (Some(4), Some(500)), "the defaults");
}

#[test]
fn times_of_a_cluster_go_with_a_store_that_is_shared() {
    let refused = settings("[cluster]\nserving_seconds = 3", Flags::default());
    assert_eq!(refused.unwrap_err(), SettingsError::ClusterAlone);
    assert!(line("[cluster]\nrenewal_seconds = 1").contains("renewal_seconds"));
}

#[cfg(feature = "etcd")]
#[test]
fn times_of_a_cluster_must_work_together() {
    let store = "[store]\nkind = \"etcd\"\nendpoints = [\"https://a:2379\"]\n[cluster]\n";
    let timing = |text: &str| settings(&format!("{store}{text}"), Flags::default()).map(|settings| settings.cluster);
    assert_eq!(timing("").unwrap(), strongroom_cluster::Timing::default());
    let shorter = timing("serving_seconds = 2\nmargin_milliseconds = 100").unwrap();
    assert_eq!((shorter.serving.as_secs(), shorter.silence.as_millis()), (2, 1900));
    let refused = timing("serving_seconds = 2\nmargin_milliseconds = 600").unwrap_err();
    assert_eq!(refused, SettingsError::Cluster(strongroom_cluster::TimingError::Margin));
    for (text, key) in [("serving_seconds = 5", "serving_seconds"), ("margin_milliseconds = 5", "margin_milliseconds")]
    {
        let refused = timing(text).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("cluster.{key} must be ")), "{refused}");
    }
}

#[test]
fn keys_of_etcd_beside_the_embedded_store_are_a_mistake() {
    for text in ["endpoints = [\"http://127.0.0.1:2379\"]", "prefix = \"/a\"", "user = \"a\"", "history_minutes = 30"] {
        let refused = settings(&format!("[store]\n{text}"), Flags::default());
        assert_eq!(refused.unwrap_err(), SettingsError::StoreNotEtcd, "{text}");
    }
}

#[cfg(feature = "etcd")]
#[test]
fn how_to_reach_etcd_must_make_sense() {
    let store = |text: &str| settings(&format!("[store]\nkind = \"etcd\"\n{text}"), Flags::default());
    let good = "endpoints = [\"https://a:2379\", \"https://b:2379\"]";
    let StorePlace::Etcd(place) = store(good).unwrap().store else { panic!("it is in etcd") };
    assert_eq!((place.prefix.as_str(), place.timeout.as_secs()), ("/strongroom", 5));
    assert_eq!(place.history.map(|history| history.as_secs()), Some(3600));
    let StorePlace::Etcd(place) = store(&format!("{good}\nhistory_minutes = 0")).unwrap().store else { panic!() };
    assert_eq!(place.history, None);
    for (text, expected) in [
        ("", SettingsError::EtcdEndpoints),
        ("endpoints = []", SettingsError::EtcdEndpoints),
        ("endpoints = [\"a:2379\"]", SettingsError::EtcdEndpoint(1)),
        ("endpoints = [\"https://a\", \"https://a:2379/x\"]", SettingsError::EtcdEndpoint(2)),
        ("endpoints = [\"https://u:p@a:2379\"]", SettingsError::EtcdEndpoint(1)),
        ("endpoints = [\"https://:p@a:2379\"]", SettingsError::EtcdEndpoint(1)),
        ("endpoints = [\"https://a:2379?p\"]", SettingsError::EtcdEndpoint(1)),
        ("endpoints = [\"http://a:2379\"]", SettingsError::EtcdEndpoint(1)),
        ("endpoints = [\"HTTP://a:2379\"]", SettingsError::EtcdEndpoint(1)),
        ("endpoints = [\"https://a:1\", \"http://[::1]:1\"]", SettingsError::EtcdMixed),
        ("endpoints = [\"http://localhost:1\"]\nca_file = \"ca.pem\"", SettingsError::EtcdMixed),
    ] {
        assert_eq!(store(text).unwrap_err(), expected, "{text}");
    }
    let spelled = store("endpoints = [\"HTTPS://A:2379/\", \"https:b:1\"]\nca_file = \"ca.pem\"").unwrap().store;
    let StorePlace::Etcd(place) = spelled else { panic!() };
    assert_eq!(place.endpoints, ["https://a:2379", "https://b:1"], "TLS is spoken however it is written");
    for prefix in ["", "/", "strongroom", "/a/", "/a b", "/a\\nb", "/a\\u0000"] {
        let refused = store(&format!("{good}\nprefix = \"{prefix}\"")).unwrap_err();
        assert!(matches!(refused, SettingsError::EtcdPrefix(_)), "{prefix}: {refused}");
        assert!(!refused.to_string().contains(['\n', '\0']), "{refused:?}");
    }
    for half in ["certificate_file = \"a\"", "private_key_file = \"a\"", "user = \"a\"", "password_file = \"a\""] {
        let refused = store(&format!("{good}\n{half}")).unwrap_err();
        assert!(matches!(refused, SettingsError::HalfOfStore { .. }), "{half}: {refused}");
    }
    for beyond in ["timeout_seconds = 0", "timeout_seconds = 61", "history_minutes = 14", "history_minutes = 10081"] {
        let refused = store(&format!("{good}\n{beyond}")).unwrap_err();
        assert!(matches!(refused, SettingsError::OutOfRange { .. }), "{beyond}: {refused}");
    }
}

#[test]
fn metrics_are_served_on_loopback_or_not_at_all() {
    let settings = |text: &str| settings(text, Flags::default());
    assert_eq!(settings("").unwrap().metrics, None);
    let listen = |address: &str| settings(&format!("[metrics]\nlisten = \"{address}\""));
    assert_eq!(listen("[::1]:9480").unwrap().metrics, Some("[::1]:9480".parse().unwrap()));
    for address in ["0.0.0.0:9480", "10.0.0.1:9480"] {
        assert!(matches!(listen(address).unwrap_err(), SettingsError::MetricsExposed(_)), "{address}");
    }
}

#[test]
fn half_a_certificate_and_no_listener_are_refused() {
    let problem = |text: &str| settings(text, Flags::default()).unwrap_err();
    assert_eq!(problem("[tls]\ncertificate_file = \"a\""), SettingsError::HalfCertificate);
    assert_eq!(problem("[tls]\nprivate_key_file = \"a\""), SettingsError::HalfCertificate);
    assert_eq!(problem("listen = []"), SettingsError::NoListener);
    let homeless = Settings::resolve(Configuration::default(), Flags::default(), None);
    assert_eq!(homeless.unwrap_err(), SettingsError::NoDataDir);
}

#[test]
fn a_suffix_that_is_the_domain_counts_once() {
    let settings =
        settings("[public]\nsuffixes = [\"LOCALHOST\", \"a.example\", \"a.example\"]", Flags::default()).unwrap();
    assert_eq!(settings.domains(), [Domain::localhost(), "a.example".parse().unwrap()]);
}

#[test]
fn limits_are_those_of_the_file_and_must_be_possible() {
    let settings = |text: &str| settings(text, Flags::default());
    let limits = settings("[limits]\nversions_per_key = 7").unwrap().limits;
    assert_eq!((limits.versions_per_key, limits.tags_per_key), (7, 15));
    let refused = settings("[limits]\npage_entries = 0").unwrap_err();
    assert_eq!(refused.to_string(), "limits.page_entries must be 1 to 250");
    assert!(line("[limits]\nkeys = 1").starts_with("line 2: limits.keys: unknown field"));
}

#[test]
fn the_audit_log_is_kept_as_the_file_says() {
    let settings = |text: &str| settings(text, Flags::default());
    let text = "[audit]\nsegment_mib = 2\nsegment_hours = 3\nretention_days = 30\ncheckpoint_seconds = 5";
    let terms = settings(text).unwrap().audit;
    assert_eq!((terms.segments.bytes, terms.segments.age.as_secs()), (2 * 1024 * 1024, 3 * 3600));
    assert_eq!((terms.segments.retention_days, terms.checkpoint_every.as_secs()), (Some(30), 5));
    for (text, problem) in [
        ("segment_mib = 0", "audit.segment_mib must be 1 to 4096"),
        ("retention_days = 0", "audit.retention_days must be 1 to 36600"),
        ("checkpoint_seconds = 3601", "audit.checkpoint_seconds must be 1 to 3600"),
        ("checkpoint_url = \"http://a.example\"", "audit.checkpoint_url is no https URL"),
        ("checkpoint_url = \"https://u:hush@a.example\"", "is no https URL without a user name"),
        ("checkpoint_url = \"https://:hush@a.example\"", "is no https URL without a user name"),
    ] {
        let said = settings(&format!("[audit]\n{text}")).unwrap_err().to_string();
        assert!(said.contains(problem) && !said.contains("hush"), "{text}: {said}");
    }
}
