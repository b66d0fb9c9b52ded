//! `sslmode` against a server that speaks TLS, and one that does not.

use std::fs;

use local_postgres::{Certificate, Options, Programs, Server};
use pool_db::{Db, DbSettings, Error};
use pool_domain::Secret;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server whose certificate is for this name only, signed by a root of our own.
struct Encrypted {
    server: Server,
    roots: TempDir,
}

impl Encrypted {
    fn start(certificate_name: &str) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let issuer = Issuer::new(root, root_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![certificate_name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let certificate = Certificate::from_pem(leaf.pem(), key.serialize_pem());
        let options = Options::temporary(Programs::find(&[]).unwrap()).certificate(certificate);
        let roots = tempfile::tempdir().unwrap();
        fs::write(roots.path().join("root.pem"), root_pem).unwrap();
        let stranger = CertificateParams::new(Vec::new()).unwrap();
        let stranger = stranger.self_signed(&KeyPair::generate().unwrap()).unwrap();
        fs::write(roots.path().join("stranger.pem"), stranger.pem()).unwrap();
        Self {
            server: Server::start(&options).unwrap(),
            roots,
        }
    }

    async fn connect(&self, mode: &str, root: Option<&str>) -> Result<Db, Error> {
        let mut url = format!("{}?sslmode={mode}", self.server.url("postgres"));
        if let Some(root) = root {
            url = format!(
                "{url}&sslrootcert={}",
                self.roots.path().join(root).display()
            );
        }
        connect(&url).await
    }

    /// The version of TLS that the newest connection of ours has.
    async fn encryption(&self, db: &Db) -> String {
        db.ping().await.unwrap();
        let client = pool_test_database::connect(&self.server.url("postgres"))
            .await
            .unwrap();
        let sql = "SELECT string_agg(DISTINCT coalesce(version, 'none'), ' ') FROM pg_stat_ssl \
                   JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'pool-server%'";
        client.query_one(sql, &[]).await.unwrap().get(0)
    }
}

async fn connect(url: &str) -> Result<Db, Error> {
    let settings = DbSettings {
        pool_size: 1,
        leader_pool_size: 1,
        claim_pool_size: 1,
        ..DbSettings::new(Secret::new(url))
    };
    Db::connect(&settings).await
}

#[tokio::test]
async fn each_sslmode_verifies_as_much_as_it_says() {
    let right = Encrypted::start("127.0.0.1");
    for (mode, root) in [
        ("prefer", None),
        ("require", None),
        ("require", Some("root.pem")),
        ("verify-ca", Some("root.pem")),
        ("verify-full", Some("root.pem")),
    ] {
        let db = right.connect(mode, root).await.unwrap();
        assert_eq!(right.encryption(&db).await, "TLSv1.3", "{mode}");
    }
    let db = right.connect("disable", None).await.unwrap();
    assert_eq!(right.encryption(&db).await, "none");
    drop(db);
    for (mode, root) in [
        ("verify-full", None),
        ("verify-ca", None),
        ("verify-full", Some("stranger.pem")),
        ("verify-ca", Some("stranger.pem")),
        ("require", Some("stranger.pem")),
    ] {
        let error = right.connect(mode, root).await.unwrap_err();
        assert!(matches!(error, Error::Connect(_)), "{mode}: {error:?}");
        assert!(error.to_string().contains("certificate"), "{mode}: {error}");
    }
    let missing = right.connect("verify-full", Some("missing.pem")).await;
    assert!(matches!(missing, Err(Error::LoadCertificates(_))));
}

#[tokio::test]
async fn only_verify_full_minds_the_name_in_the_certificate() {
    let other = Encrypted::start("db.example.com");
    for mode in ["require", "verify-ca"] {
        other.connect(mode, Some("root.pem")).await.unwrap();
    }
    let error = other
        .connect("verify-full", Some("root.pem"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            client.read_exact(&mut request).await.unwrap();
            client.write_all(b"N").await.unwrap();
        }
    });
    let error = connect(&format!(
        "postgres://u:p@127.0.0.1:{port}/d?sslmode=require"
    ))
    .await
    .unwrap_err();
    server.abort();
    assert!(
        error.to_string().contains("server does not support TLS"),
        "{error}"
    );
}
