//! The provider's small certificate authority, and the files it lives in.
//!
//! Nobody else needs to trust it: it signs the server's certificate, so that clients know whom
//! they send to, and each client's certificate, so that the server knows whom it answers.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use time::{Duration, OffsetDateTime};
use zeroize::{Zeroize, Zeroizing};

use crate::TransportError;

type Result<T, E = TransportError> = std::result::Result<T, E>;

/// File stem of the authority: `ca.pem` and `ca-key.pem`.
pub const AUTHORITY_STEM: &str = "ca";
/// File stem of the server: `server.pem` and `server-key.pem`.
pub const SERVER_STEM: &str = "server";

/// How far before now a certificate starts to be valid. Chosen because clocks of laptops and
/// virtual machines are off by minutes, seldom by an hour.
const CLOCK_SLACK: Duration = Duration::hours(1);

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and fail with [`TransportError::KeyExists`].
    Keep,
    /// Put the new one in its place.
    Replace,
}

/// A certificate authority: who holds it decides who may call and who may answer.
///
/// It has no `Debug`, and its key is wiped when it is dropped.
pub struct Authority(Identity);

/// A certificate and its private key, of a server or of a client.
///
/// It has no `Debug`, and its key is wiped when it is dropped.
pub struct Identity {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
}

/// The public certificate of the authority that the other side must have been issued by.
#[derive(Debug, Clone)]
pub struct Trust {
    certificates: Vec<CertificateDer<'static>>,
}

/// File stem of a client: `client-NAME.pem` and `client-NAME-key.pem`.
///
/// # Errors
///
/// [`TransportError::ClientName`] unless the name is 1 to 64 letters, digits, `.`, `-` or `_` and
/// does not start with a dot.
pub fn client_stem(name: &str) -> Result<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    if (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain) {
        return Ok(format!("client-{name}"));
    }
    Err(TransportError::ClientName { name: name.into() })
}

impl Authority {
    /// Makes a new authority that is valid for `days` days. Its name ends in a random number, so
    /// that certificates of two authorities are told apart.
    ///
    /// # Errors
    ///
    /// [`TransportError::Validity`], [`TransportError::Certificate`].
    pub fn make(days: i32) -> Result<Self> {
        let name = format!("Cleave authority {:08x}", rand::random::<u32>());
        let mut params = params(&name, Vec::new(), days)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed("authority's key"))?;
        let certificate = params.self_signed(&key).map_err(failed("authority"))?;
        Ok(Self(Identity::new(&certificate, key)))
    }

    /// Reads `ca.pem` and `ca-key.pem` of `folder`, to issue another certificate later.
    ///
    /// # Errors
    ///
    /// [`TransportError::KeyFile`], [`TransportError::Pem`], [`TransportError::Certificate`],
    /// [`TransportError::KeyMismatch`].
    pub fn load(folder: &Path) -> Result<Self> {
        let [certificate, key] = pair_paths(folder, AUTHORITY_STEM);
        Identity::load(&certificate, &key).map(Self)
    }

    /// Writes `ca.pem` and `ca-key.pem` into `folder`. The key is readable by its owner only.
    ///
    /// # Errors
    ///
    /// [`TransportError::KeyExists`], [`TransportError::KeyFile`].
    pub fn save(&self, folder: &Path, existing: Existing) -> Result<()> {
        self.0.save(folder, AUTHORITY_STEM, existing)
    }

    /// What the other side needs to recognise certificates of this authority.
    pub fn trust(&self) -> Trust {
        Trust { certificates: vec![self.0.certificate.clone()] }
    }

    /// Issues a server certificate for `names`, each a host name or an IP address.
    ///
    /// # Errors
    ///
    /// [`TransportError::Validity`]; [`TransportError::Certificate`] if a name is not one.
    pub fn issue_server(&self, names: &[String], days: i32) -> Result<Identity> {
        let params = params("Cleave server", names.to_vec(), days)?;
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a client certificate. `name` is for people; the server checks only the issuer.
    /// Nothing revokes a certificate before it expires, except a new authority.
    ///
    /// # Errors
    ///
    /// [`TransportError::ClientName`], [`TransportError::Validity`], [`TransportError::Certificate`].
    pub fn issue_client(&self, name: &str, days: i32) -> Result<Identity> {
        client_stem(name)?;
        self.issue(params(name, Vec::new(), days)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed("new key"))?;
        let issuer =
            Issuer::from_ca_cert_der(&self.0.certificate, &self.0.key).map_err(failed("authority's certificate"))?;
        let certificate = params.signed_by(&key, &issuer).map_err(failed("new certificate"))?;
        Ok(Identity::new(&certificate, key))
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Identity {
    fn new(certificate: &rcgen::Certificate, key: KeyPair) -> Self {
        let certificate_pem = certificate.pem();
        Self { certificate: certificate.der().clone(), certificate_pem, key }
    }

    /// Reads a certificate and its PKCS#8 key from two PEM files.
    ///
    /// # Errors
    ///
    /// [`TransportError::KeyFile`], [`TransportError::Pem`], [`TransportError::Certificate`];
    /// [`TransportError::KeyMismatch`] if the two do not belong together.
    pub fn load(certificate_path: &Path, key_path: &Path) -> Result<Self> {
        let text = read(certificate_path)?;
        let certificate = CertificateDer::from_pem_slice(&text);
        let certificate = certificate.map_err(not_pem(certificate_path, "certificate"))?;
        let key = read_key(key_path)?;
        // A certificate holds its public key as plain bytes, so its own key is found in it.
        let public = key.public_key_raw();
        if !certificate.windows(public.len()).any(|window| window == public) {
            let (certificate, key) = (certificate_path.into(), key_path.into());
            return Err(TransportError::KeyMismatch { certificate, key });
        }
        let certificate_pem = String::from_utf8_lossy(&text).into_owned();
        Ok(Self { certificate, certificate_pem, key })
    }

    /// Writes `STEM.pem` and `STEM-key.pem` into `folder`; see [`SERVER_STEM`] and [`client_stem`].
    /// The key is readable by its owner only.
    ///
    /// # Errors
    ///
    /// [`TransportError::KeyExists`], [`TransportError::KeyFile`].
    pub fn save(&self, folder: &Path, stem: &str, existing: Existing) -> Result<()> {
        let paths = pair_paths(folder, stem);
        if existing == Existing::Keep
            && let Some(path) = paths.iter().find(|path| path.exists())
        {
            return Err(TransportError::KeyExists { path: path.clone() });
        }
        let [certificate, key] = paths;
        let key_pem = Zeroizing::new(self.key.serialize_pem());
        write_atomically(&key, &key_pem, 0o600, existing)?;
        write_atomically(&certificate, &self.certificate_pem, 0o644, existing)
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }
}

impl Trust {
    /// Reads every certificate of a PEM file such as `ca.pem`.
    ///
    /// # Errors
    ///
    /// [`TransportError::KeyFile`]; [`TransportError::Pem`] also if there is none in it.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read(path)?;
        let certificates: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match certificates.map_err(not_pem(path, "certificate"))? {
            none if none.is_empty() => Err(not_pem(path, "certificate")(rustls::pki_types::pem::Error::NoItemsFound)),
            certificates => Ok(Self { certificates }),
        }
    }

    pub(crate) fn roots(&self) -> Result<rustls::RootCertStore> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in &self.certificates {
            roots.add(certificate.clone()).map_err(|source| TransportError::Tls { source })?;
        }
        Ok(roots)
    }
}

/// `days` may be negative, which gives a certificate that has expired: tests need one.
fn params(common_name: &str, names: Vec<String>, days: i32) -> Result<CertificateParams> {
    let now = OffsetDateTime::now_utc();
    let end = now
        .checked_add(Duration::days(days.into()))
        .filter(|end| (1950..=9999).contains(&end.year())) // what X.509 can write
        .ok_or(TransportError::Validity { days })?;
    let mut params = CertificateParams::new(names).map_err(failed("list of server names"))?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = now.min(end) - CLOCK_SLACK;
    params.not_after = end;
    Ok(params)
}

fn failed(what: &'static str) -> impl Fn(rcgen::Error) -> TransportError {
    move |source| TransportError::Certificate { what, source }
}

fn not_pem(path: &Path, expected: &'static str) -> impl Fn(rustls::pki_types::pem::Error) -> TransportError {
    move |source| TransportError::Pem { path: path.into(), expected, source }
}

fn pair_paths(folder: &Path, stem: &str) -> [PathBuf; 2] {
    [folder.join(format!("{stem}.pem")), folder.join(format!("{stem}-key.pem"))]
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|source| TransportError::KeyFile { action: "read", path: path.into(), source })
}

fn read_key(path: &Path) -> Result<KeyPair> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(&read(path)?);
    let mut der = der.map_err(not_pem(path, "PKCS#8 private key"))?;
    let key = KeyPair::try_from(&der).map_err(failed("private key"));
    der.zeroize();
    key
}

/// Writes to a temporary name beside `path`, syncs, and only then gives it its name: nobody ever
/// reads half a file, and a file that is there is replaced only when that was asked for.
fn write_atomically(path: &Path, text: &str, mode: u32, existing: Existing) -> Result<()> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => TransportError::KeyExists { path: path.into() },
        _ => TransportError::KeyFile { action: "write", path: path.into(), source },
    };
    let draft = path.with_extension(format!("{:016x}.tmp", rand::random::<u64>()));
    let written = write_new(&draft, text, mode).and_then(|()| match existing {
        Existing::Replace => fs::rename(&draft, path),
        Existing::Keep => fs::hard_link(&draft, path), // unlike a rename, fails if `path` is there
    });
    if written.is_err() || existing == Existing::Keep {
        // The draft is a second name for the file, or rubbish; a leftover is harmless.
        let _ = fs::remove_file(&draft);
    }
    written.map_err(failed)
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
