//! Secret keys from files, and passphrases from where users keep them.

use crate::Failure;
use clap::Args;
use cleave_confusion::ConfusionKey;
use cleave_partition::{FrontHalf, Terms};
use cleave_secrets::{Contents, Existing, Label, Protection, Secret};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What keys for images and networks are made for.
pub const PURPOSE: &str = "keyed images";

/// What keys for ciphertexts are made for.
pub const CIPHERTEXTS: &str = "encrypted images";

/// What keys for trainings on ciphertexts are made for.
pub const TRAINING: &str = "encrypted training";

/// In place of a terminal or a file.
const VARIABLE: &str = "CLEAVE_PASSPHRASE";

/// Where the passphrase of a sealed key comes from.
#[derive(Args, Clone, Debug)]
pub struct PassphraseOption {
    /// File whose first line is the passphrase of sealed keys; without it the variable CLEAVE_PASSPHRASE, or the terminal is asked
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseOption {
    /// A passphrase from another file, or from the same place where none is given.
    pub fn or_file(&self, other: Option<&PathBuf>) -> Self {
        Self { passphrase_file: other.or(self.passphrase_file.as_ref()).cloned() }
    }

    /// Makes a new key and writes it, sealed or in the clear; an old file is never replaced.
    pub fn seal(&self, path: &Path, purpose: &str, clear: bool) -> Result<Secret, Failure> {
        let secret = Secret::generate()?;
        self.save(path, &Contents::from(&secret), purpose, clear)?;
        Ok(secret)
    }

    /// Writes the key of confusion neurons, sealed or in the clear; an old file is never replaced.
    pub fn seal_confusion(&self, path: &Path, key: &ConfusionKey, clear: bool) -> Result<(), Failure> {
        self.save(path, &key.to_contents(), cleave_confusion::PURPOSE, clear)
    }

    fn save(&self, path: &Path, contents: &Contents, purpose: &str, clear: bool) -> Result<(), Failure> {
        let prompt = || format!("passphrase for {}: ", path.display());
        let passphrase = (!clear).then(|| self.read(&prompt(), true)).transpose()?;
        let sealed = passphrase.as_ref().map(|passphrase| Protection::passphrase(passphrase));
        Ok(cleave_secrets::save(path, contents, purpose, sealed.unwrap_or(Protection::ClearText), Existing::Keep)?)
    }

    /// Reads a key for images and networks, and asks for its passphrase where it is sealed.
    pub fn open(&self, path: &Path) -> Result<Secret, Failure> {
        self.open_for(path, PURPOSE)
    }

    /// Reads a key that was made for `purpose`.
    pub fn open_for(&self, path: &Path, purpose: &str) -> Result<Secret, Failure> {
        let contents = self.load(path, purpose)?;
        contents.secret().map_err(|error| in_file(path, error))
    }

    /// Reads the key of confusion neurons, and asks for its passphrase where it is sealed.
    pub fn open_confusion(&self, path: &Path) -> Result<ConfusionKey, Failure> {
        let contents = self.load(path, cleave_confusion::PURPOSE)?;
        ConfusionKey::from_contents(&contents).map_err(|source| Failure::ConfusionKey { path: path.to_owned(), source })
    }

    fn load(&self, path: &Path, purpose: &str) -> Result<Contents, Failure> {
        // A file in the clear where the user named a passphrase is not the file that the user means: it is refused.
        let wanted = Label::load(path)?.sealed.is_some() || self.passphrase_file.is_some();
        let ask = || self.read(&format!("passphrase of {}: ", path.display()), false);
        let passphrase = wanted.then(ask).transpose()?;
        Ok(cleave_secrets::load(path, purpose, passphrase.as_ref().map(|passphrase| passphrase.as_str()))?)
    }

    fn read(&self, prompt: &str, twice: bool) -> Result<Zeroizing<String>, Failure> {
        if let Some(path) = &self.passphrase_file {
            let text = std::fs::read_to_string(path).map_err(|source| Failure::file(path, source))?;
            let text = Zeroizing::new(text);
            return Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()));
        }
        if let Ok(text) = std::env::var(VARIABLE) {
            return Ok(Zeroizing::new(text));
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::NoPassphrase);
        }
        let ask = |prompt: &str| Ok::<_, Failure>(Zeroizing::new(rpassword::prompt_password(prompt)?));
        let first = ask(prompt)?;
        if twice && *ask("the same again: ")? != *first {
            return Err(Failure::OtherPassphrase);
        }
        Ok(first)
    }
}

/// An error of what a key file holds, with its path.
fn in_file(path: &Path, source: cleave_secrets::Error) -> Failure {
    cleave_secrets::Error::InFile { path: path.to_owned(), source: Box::new(source) }.into()
}

/// Takes the key where a pair needs one, before anything else is done with it.
pub fn unlock(front: &mut FrontHalf, key: Option<&PathBuf>, passphrase: &PassphraseOption) -> Result<(), Failure> {
    let Terms { lock, confused, .. } = &front.manifest().terms;
    match (key, lock.as_ref().map(|lock| lock.key).or(*confused)) {
        (Some(key), _) if confused.is_some() => Ok(front.strip(&passphrase.open_confusion(key)?)?),
        (Some(key), _) => Ok(front.unlock(&passphrase.open(key)?)?),
        (None, Some(key)) => Err(cleave_partition::Error::KeyNeeded { key }.into()),
        (None, None) => Ok(()),
    }
}
