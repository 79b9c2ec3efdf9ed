//! Errors with a hint and an exit code.

use cleave_nets::FeatureSource;
use cleave_secrets::KeyId;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// From the network or its file.
    #[error(transparent)]
    Network(#[from] cleave_nets::Error),
    /// From the images.
    #[error(transparent)]
    Data(#[from] cleave_data::DataError),
    /// From training.
    #[error(transparent)]
    Training(#[from] cleave_retrain::Error),
    /// From the cut, its check or its files.
    #[error(transparent)]
    Partition(#[from] cleave_partition::Error),
    /// From confusion neurons.
    #[error(transparent)]
    Confusion(#[from] cleave_confusion::Error),
    /// A key file whose contents are no key of confusion neurons.
    #[error("key file {}: {source}", path.display())]
    ConfusionKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: cleave_confusion::Error,
    },
    /// A network with confusion neurons, where a right one is needed.
    #[error("{} has confusion neurons, and is wrong without the key {key}", path.display())]
    Confused {
        /// The file.
        path: PathBuf,
        /// The key's public name.
        key: KeyId,
    },
    /// Options that do not go together.
    #[error("{reason}")]
    Options {
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// A search that measures scores, on a network whose scores depend on a signal too.
    #[error("--search measures how far scores move, and those of {} depend on a signal besides the image", path.display())]
    SearchWithSignal {
        /// The file.
        path: PathBuf,
    },
    /// A key of confusion neurons for a network without them.
    #[error("{} has no confusion neurons, and takes no key", path.display())]
    NotConfused {
        /// The file.
        path: PathBuf,
    },
    /// A head on features of other layers.
    #[error("{} was trained on features of {}, and {} gives those of {}", head.display(), sources.0, network.display(), sources.1)]
    OtherNetwork {
        /// The head.
        head: PathBuf,
        /// The network.
        network: PathBuf,
        /// What the head was trained on, and what there is.
        sources: Box<(FeatureSource, FeatureSource)>,
    },
    /// A head for samples of another length.
    #[error("{} takes samples of {takes} values, got {given}", path.display())]
    HeadWidth {
        /// The head.
        path: PathBuf,
        /// Values that it takes.
        takes: usize,
        /// Values that there are.
        given: usize,
    },
    /// Samples of other classes than a head's.
    #[error("the head answers in the classes {}, and the samples are of {}", .head.join(", "), .given.join(", "))]
    HeadClasses {
        /// Those of the head.
        head: Vec<String>,
        /// Those of the samples.
        given: Vec<String>,
    },
    /// A head on features that depend on signals, where one network is to be made.
    #[error("{} was trained on features that depend on signals, which a network would have to undo in its answers", path.display())]
    HeadWithSignals {
        /// The head.
        path: PathBuf,
    },
    /// A front half without layers.
    #[error("the front half {} sends images under a key and has no layers that give features", path.display())]
    LockedFeatures {
        /// The file.
        path: PathBuf,
    },
    /// From a key and what it acts on.
    #[error(transparent)]
    Keyed(#[from] cleave_keyed::Error),
    /// From a key file.
    #[error(transparent)]
    Secrets(#[from] cleave_secrets::Error),
    /// A sealed key and nobody to ask.
    #[error("the key is sealed with a passphrase, and there is no terminal to ask for it")]
    NoPassphrase,
    /// Two passphrases where one was to be typed twice.
    #[error("the two passphrases differ; nothing was written")]
    OtherPassphrase,
    /// A locked network where a plain one is needed.
    #[error("{} is locked already", .path.display())]
    LockedAlready {
        /// The file.
        path: PathBuf,
    },
    /// A defence at a cut for a pair that has a key there.
    #[error("--defend stands for a cut inside a network, and this pair is locked with a key before its first layer")]
    DefendLocked,
    /// A folder that is to be filled, and is not empty.
    #[error("{} holds files already, and none of them is replaced", .path.display())]
    FolderInUse {
        /// The folder.
        path: PathBuf,
    },
    /// From attacks on a cut.
    #[error(transparent)]
    Audit(#[from] cleave_audit::Error),
    /// From a service on ciphertexts.
    #[error(transparent)]
    EncryptedService(#[from] cleave_encrypted::service::Error),
    /// A score that is not what the networks give in the clear.
    #[error("image {image}, class {class}: {got} was decrypted, and the networks of {} give {expected}", .path.display())]
    ScoreDiffers {
        /// The release.
        path: PathBuf,
        /// The image's name.
        image: String,
        /// The class.
        class: String,
        /// In the clear.
        expected: i128,
        /// Decrypted.
        got: i128,
    },
    /// A release to check against that is not what the provider serves.
    #[error("{} has {got}, and the provider serves {expected}", .path.display())]
    OtherRelease {
        /// The release.
        path: PathBuf,
        /// What it has.
        got: String,
        /// What is served.
        expected: String,
    },
    /// From networks in integers, ciphertexts and their files.
    #[error(transparent)]
    Encrypted(#[from] cleave_encrypted::Error),
    /// A network that does not run on ciphertexts.
    #[error("layer {layer} of {} is {got}, expected {expected}", .path.display())]
    NotQuantisable {
        /// The file.
        path: PathBuf,
        /// Place in the list of layers, from 0.
        layer: usize,
        /// What stands there.
        got: String,
        /// What should.
        expected: &'static str,
    },
    /// A network for pixels with a mean and a deviation, or in colour.
    #[error("{} takes pixels that are not grey or not from 0 to 1", .path.display())]
    NotPlainPixels {
        /// The file.
        path: PathBuf,
    },
    /// Networks that cannot be one ensemble.
    #[error("{} has another shape or prepares images in another way than {}", .path.display(), .first.display())]
    OtherMember {
        /// The file.
        path: PathBuf,
        /// The first network's.
        first: PathBuf,
    },
    /// From the connection.
    #[error(transparent)]
    Transport(#[from] cleave_transport::TransportError),
    /// A manifest without a pair hash.
    #[error("{} has no pair hash that can be read", .path.display())]
    PairHash {
        /// The file.
        path: PathBuf,
    },
    /// No randomness for a secret.
    #[error("the operating system gives no random numbers: {reason}")]
    Randomness {
        /// In its words.
        reason: String,
    },
    /// A host that has no address.
    #[error("{address} is no address of a server: {source}")]
    Address {
        /// What was given.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// One file for two things.
    #[error("{} is named twice, and one would be written over the other; name different files", .path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },
    /// An audit that cannot stand beside another.
    #[error("the record {} is of an audit with another seed, other classes or other images, and cannot be compared", .path.display())]
    OtherImages {
        /// The record.
        path: PathBuf,
    },
    /// Data without images to evaluate on.
    #[error("{} has no val or test split to measure accuracy on", .path.display())]
    NoValidation {
        /// The data.
        path: PathBuf,
    },
    /// A set without a single image.
    #[error("{} holds no image of that split and those classes", .path.display())]
    NoImages {
        /// The data.
        path: PathBuf,
    },
    /// Images of which none could be read.
    #[error("none of the {count} images could be read")]
    AllBroken {
        /// Images given.
        count: usize,
    },
    /// Other classes than the network's.
    #[error("the network answers in the classes {}, and --classes names {}", .network.join(", "), .given.join(", "))]
    OtherClasses {
        /// Those of the network.
        network: Vec<String>,
        /// Those of the command line.
        given: Vec<String>,
    },
    /// Halves of two pairs.
    #[error("the front half is of the pair {front} and the back half of {back}")]
    OtherPair {
        /// The front half's.
        front: String,
        /// The back half's.
        back: String,
    },
    /// Ctrl-C in the demo, which saves nothing.
    #[error("interrupted")]
    DemoInterrupted,
    /// The check says that a cut leaks.
    #[error("the check says that a cut at {cut} leaks")]
    CheckLeaks {
        /// The cut.
        cut: cleave_partition::Cut,
    },
    /// A pair that the client's own policy refuses.
    #[error("nothing was sent: by what it says of itself the pair does not keep {policy}: {}", .violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Required {
        /// The policy.
        policy: String,
        /// Every limit that is broken.
        violations: Vec<cleave_partition::Violation>,
    },
    /// No policy of that name.
    #[error("{name} is neither a policy that comes with this command nor a file; there are {}", cleave_partition::Policy::SHIPPED.map(|(name, _)| name).join(", "))]
    NoPolicy {
        /// What was asked for.
        name: String,
    },
    /// A policy that cannot be used.
    #[error("{name} cannot be used: {source}")]
    Policy {
        /// Its name or file.
        name: String,
        /// Why.
        source: cleave_partition::Error,
    },
    /// Not the record of an audit.
    #[error("{} is no audit's record that can be read here: {reason}", .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A record of something else.
    #[error("{} holds no audit of {wanted}; it holds {}", .path.display(), .audited.join("; "))]
    NotAudited {
        /// The record.
        path: PathBuf,
        /// What is to be released.
        wanted: String,
        /// What was audited.
        audited: Vec<String>,
    },
    /// A defence to be measured, and nothing to measure on.
    #[error("what the defence leaves open is measured on images, and there is no --data")]
    NoRange,
    /// Fewer decoys than the pair was released with.
    #[error("the pair is to be used with {asked} or more decoys an image, and {given} are wanted")]
    FewDecoys {
        /// What the manifest says.
        asked: usize,
        /// What the options say.
        given: usize,
    },
    /// Fewer decoys than have to be sent.
    #[error("{need} decoys are needed and the pool has {have} that can be read; a decoy is sent once")]
    SmallPool {
        /// Images of the pool.
        have: usize,
        /// Decoys an image times images.
        need: usize,
    },
    /// A pool that private images lie in.
    #[error("the pool {} and the images to be labelled lie in one another; a decoy that is itself asked for hides nothing", .path.display())]
    PoolOfImages {
        /// The pool.
        path: PathBuf,
    },
    /// A file of the user's that cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// From a training on ciphertexts.
    #[error(transparent)]
    Job(#[from] crate::commands::encrypted_train::JobFault),
    /// A TOML file that is none.
    #[error("{} is no TOML that can be used here: {reason}", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A result that is no JSON.
    #[error("the result cannot be printed: {0}")]
    Json(#[from] serde_json::Error),
    /// `--resume` without a state.
    #[error("{} holds no state of an interrupted run", .folder.display())]
    NothingToResume {
        /// Where it would be.
        folder: PathBuf,
    },
    /// A state without `--resume`.
    #[error("{} holds the state of an interrupted run", .folder.display())]
    UnfinishedRun {
        /// Where it is.
        folder: PathBuf,
    },
    /// Ctrl-C; the state is saved.
    #[error("interrupted at step {step}; the state is in {}", .folder.display())]
    Interrupted {
        /// Steps done.
        step: usize,
        /// Where the state is.
        folder: PathBuf,
    },
}

impl Failure {
    /// A file that cannot be read.
    pub fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// A table that belongs to no command.
    pub fn stray_table(path: &Path, stray: &str, commands: &[String]) -> Self {
        let reason = format!("[{stray}] is no command; there are {}", commands.join(", "));
        Self::Toml { path: path.to_owned(), reason }
    }

    /// A file that is no TOML.
    pub fn toml(path: &Path, error: &toml::de::Error) -> Self {
        Self::Toml { path: path.to_owned(), reason: error.to_string() }
    }

    /// Prints the error and its hint, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        eprintln!("hint: {}", self.hint());
        ExitCode::from(self.code())
    }

    const fn code(&self) -> u8 {
        use cleave_nets::Error as Net;
        use cleave_partition::Error as Part;
        use cleave_retrain::Error as Training;
        match self {
            Self::CheckLeaks { .. }
            | Self::Required { .. }
            | Self::Partition(Part::Leaks { .. } | Part::Policy { .. }) => 4,
            Self::Data(_)
            | Self::File { .. }
            | Self::NoValidation { .. }
            | Self::NoImages { .. }
            | Self::AllBroken { .. }
            | Self::Record { .. }
            | Self::NotAudited { .. }
            | Self::Partition(
                Part::UnknownDefence { .. }
                | Part::AuditOfOther { .. }
                | Part::AuditText
                | Part::Contradiction { .. }
                | Part::Exists { .. },
            ) => 3,
            Self::Network(net)
            | Self::Confusion(cleave_confusion::Error::Network(net))
            | Self::Partition(Part::Network(net))
            | Self::Training(cleave_retrain::Error::Network(net)) => match net {
                Net::Io { .. }
                | Net::Format { .. }
                | Net::Damaged { .. }
                | Net::Version { .. }
                | Net::Csv { .. }
                | Net::NotFinite { .. }
                | Net::Keys { .. }
                | Net::TensorShape { .. } => 3,
                Net::Device { .. }
                | Net::NoSuchLayer { .. }
                | Net::Features { .. }
                | Net::Architecture { .. }
                | Net::JoinVector { .. }
                | Net::JoinTwice => 2,
                _ => 1,
            },
            Self::Training(cleave_retrain::Error::Data(_)) => 3,
            Self::Transport(cleave_transport::TransportError::Busy { .. }) => 6,
            Self::Transport(error) if is_local(error) => 3,
            Self::Transport(_)
            | Self::Address { .. }
            | Self::Partition(Part::Signal(cleave_retrain::Error::Scores { .. })) => 5,
            Self::Interrupted { .. } | Self::DemoInterrupted | Self::Audit(cleave_audit::Error::Interrupted { .. }) => {
                130
            }
            Self::Audit(error) => audit_code(error),
            Self::EncryptedService(error) => service_code(error),
            Self::ScoreDiffers { .. } => 1,
            Self::Job(fault) => fault.code(),
            Self::OtherRelease { .. } => 2,
            Self::Encrypted(error) => encrypted_code(error),
            Self::NotQuantisable { .. }
            | Self::NotPlainPixels { .. }
            | Self::OtherMember { .. }
            | Self::OtherPair { .. }
            | Self::Keyed(_)
            | Self::NoPassphrase
            | Self::OtherPassphrase
            | Self::LockedAlready { .. }
            | Self::DefendLocked
            | Self::Confusion(_)
            | Self::Confused { .. }
            | Self::NotConfused { .. }
            | Self::SearchWithSignal { .. }
            | Self::OtherNetwork { .. }
            | Self::HeadWidth { .. }
            | Self::HeadClasses { .. }
            | Self::HeadWithSignals { .. }
            | Self::LockedFeatures { .. }
            | Self::Options { .. }
            | Self::FolderInUse { .. } => 2,
            Self::Secrets(_) | Self::ConfusionKey { .. } => 3,
            Self::Toml { .. }
            | Self::OtherClasses { .. }
            | Self::NothingToResume { .. }
            | Self::UnfinishedRun { .. }
            | Self::NoPolicy { .. }
            | Self::Policy { .. }
            | Self::NoRange
            | Self::SameFile { .. }
            | Self::OtherImages { .. }
            | Self::FewDecoys { .. }
            | Self::SmallPool { .. }
            | Self::PoolOfImages { .. }
            | Self::Partition(_) => 2,
            Self::Training(error) => match error {
                Training::Setting { .. }
                | Training::Classes { .. }
                | Training::Glyphs { .. }
                | Training::Place { .. }
                | Training::Bottleneck { .. }
                | Training::NoSignal
                | Training::TooFewImages { .. }
                | Training::OtherRun { .. } => 2,
                Training::State { .. } | Training::Io { .. } | Training::NoBatch { .. } => 3,
                _ => 1,
            },
            _ => 1,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Interrupted { .. } => RESUME,
            Self::NothingToResume { .. } => "leave --resume away to start anew",
            Self::UnfinishedRun { .. } => "add --resume to go on, or remove that folder to start anew",
            Self::CheckLeaks { .. } => LEAKS,
            Self::Required { .. } => {
                "ask the provider for a pair with an audit that keeps it; `cleave inspect FRONT` shows this one's"
            }
            Self::Secrets(error) => secrets_hint(error.fault()),
            Self::Keyed(error) => keyed_hint(error),
            Self::Confusion(error) => confusion_hint(error),
            Self::ConfusionKey { .. } => {
                "restore it from a copy; without one, what was confused with it cannot be brought back"
            }
            Self::Confused { .. } => {
                "`cleave strip MODEL --key KEY` brings the original back; `cleave eval` takes the key itself"
            }
            Self::SearchWithSignal { .. } => {
                "search on the network from before `cleave retrain`, or leave --search out"
            }
            Self::OtherNetwork { .. } => {
                "name the network that the features were made with, its key if they were made with one; `cleave inspect HEAD` says what they are of"
            }
            Self::HeadWidth { .. } => {
                "`cleave inspect HEAD` says what a head takes; --layer says where features are taken"
            }
            Self::HeadClasses { .. } => "take data of the head's classes, or name its classes in order with --classes",
            Self::HeadWithSignals { .. } => {
                "make the features with --layer before the signal joins; `cleave inspect MODEL` says where that is"
            }
            Self::LockedFeatures { .. } => "take the plain network, or a pair that was cut",
            Self::NotConfused { .. } => "leave the key out; `cleave inspect MODEL` says what a model file is",
            Self::NoPassphrase | Self::OtherPassphrase => PASSPHRASE,
            Self::LockedAlready { .. } => {
                "lock the plain network anew, or `cleave key rotate` this pair to another key"
            }
            Self::FolderInUse { .. } => "name a new folder",
            Self::NoPolicy { .. } | Self::Policy { .. } => "`cleave policies NAME` prints one to start from",
            Self::Record { .. } | Self::NotAudited { .. } => {
                "audit this model at this cut with these defences; a range as it was audited is written bits:N:LOW:HIGH"
            }
            Self::DemoInterrupted => "run it again; it keeps nothing",
            Self::OtherImages { .. } => "audit both with the same --data, --attacker and --seed",
            Self::NoRange => "add --data PATH, or write it out: gaussian:SCALE, bits:N:LOW:HIGH",
            Self::FewDecoys { .. } => "add --decoys D --decoy-pool PATH",
            Self::SmallPool { .. } => "give a larger pool, fewer decoys or fewer images",
            Self::PoolOfImages { .. } => "keep the pool in a folder of its own",
            Self::NoValidation { .. } => "keep some images apart in a folder val or test beside train",
            Self::Network(error) => network_hint(error),
            Self::Data(error) => data_hint(error),
            Self::Training(error) => training_hint(error),
            Self::Partition(error) => partition_hint(error),
            Self::Audit(error) => audit_hint(error),
            Self::EncryptedService(error) => service_hint(error),
            Self::ScoreDiffers { .. } => {
                "outputs beyond the parameters wrap around: quantise anew with a larger --margin-bits, on images like these"
            }
            Self::OtherRelease { .. } => "name the file that `cleave serve --encrypted` was given",
            Self::Transport(cleave_transport::TransportError::Busy { .. }) => {
                "others take what there is at present; try again, or ask the provider for more"
            }
            Self::Encrypted(error) => encrypted_hint(error),
            Self::Job(fault) => fault.hint(),
            Self::NotQuantisable { .. } | Self::NotPlainPixels { .. } | Self::OtherMember { .. } => {
                "`cleave train --arch cryptonets` makes networks that fit"
            }
            Self::Transport(error) if is_local(error) => {
                "`cleave keys --help` says which files there are and who needs them"
            }
            Self::Transport(_) | Self::Address { .. } => {
                "check that `cleave serve` runs there, and that both sides use certificates from the same `cleave keys`"
            }
            Self::File { .. } => PATH,
            _ => OPTIONS,
        }
    }
}

const ANEW: &str = "remove the folder that ends in .run, and leave --resume away, to start anew";
const RESUME: &str = "run the same command with --resume to go on";
const LEAKS: &str = "cut later or behind a pool; to release all the same, `cleave cut ... --accept-leak \"REASON\"`";
const LAYERS: &str = "`cleave inspect MODEL` lists the numbered layers and their shapes";
const OTHER_KEY: &str = "`cleave key id FILE` prints a key's name, `cleave inspect FILE` the one that is needed";
const PASSPHRASE: &str = "give --passphrase-file FILE, or the variable CLEAVE_PASSPHRASE, or run it in a terminal";
const PATH: &str = "check the path and its permissions";
const OPTIONS: &str = "`cleave help COMMAND` explains each option";

const fn network_hint(error: &cleave_nets::Error) -> &'static str {
    use cleave_nets::Error as Network;
    match error {
        Network::Io { .. } => PATH,
        Network::NoSuchLayer { .. } | Network::Range { .. } => LAYERS,
        Network::Csv { .. } => {
            "each line is a label and numbers behind it, without a header; `cleave features` writes such a file"
        }
        Network::Features { .. } => OPTIONS,
        Network::Device { .. } => "build with the feature of another device, or leave --device away",
        _ => "`cleave inspect FILE` says what a model file is",
    }
}

const fn data_hint(error: &cleave_data::DataError) -> &'static str {
    use cleave_data::DataError as Data;
    match error {
        Data::Io { .. } => PATH,
        Data::EmptyBatch
        | Data::Augmentation { .. }
        | Data::PreparedSize { .. }
        | Data::CropTooLarge { .. }
        | Data::PortionCount { .. }
        | Data::Portion { .. }
        | Data::Skew { .. }
        | Data::Shapes { .. } => OPTIONS,
        _ => "`cleave help train` lists the layouts that can be read",
    }
}

const fn training_hint(error: &cleave_retrain::Error) -> &'static str {
    use cleave_retrain::Error as Training;
    match error {
        Training::Data(error) => data_hint(error),
        Training::Network(error) => network_hint(error),
        Training::Place { .. } | Training::Bottleneck { .. } => LAYERS,
        Training::Io { .. } => PATH,
        Training::State { .. } | Training::OtherRun { .. } => ANEW,
        _ => OPTIONS,
    }
}

const fn secrets_hint(error: &cleave_secrets::Error) -> &'static str {
    use cleave_secrets::Error as Secrets;
    match error {
        Secrets::Io { .. } => PATH,
        Secrets::Exists { .. } => "a key that is replaced is lost, so no option does it",
        Secrets::PassphraseNeeded | Secrets::WrongPassphrase | Secrets::PassphraseLength { .. } => PASSPHRASE,
        Secrets::PassphraseNotNeeded => "`cleave key id FILE` says whether a key file is sealed",
        Secrets::NewerVersion { .. } => "the version of cleave that made it will do",
        Secrets::Truncated { .. } | Secrets::Field { .. } | Secrets::Damaged | Secrets::OtherSecret { .. } => {
            "without a copy the key is lost: make another, and with it anew whatever was made with this one"
        }
        Secrets::Randomness { .. } | Secrets::Memory { .. } => "try again on a machine with more of it",
        _ => "`cleave key id FILE` says what a key file is; `cleave key new` makes one",
    }
}

const fn keyed_hint(error: &cleave_keyed::Error) -> &'static str {
    use cleave_keyed::Error as Keyed;
    match error {
        Keyed::OtherKey { .. } => OTHER_KEY,
        Keyed::NotLockable { .. } => LAYERS,
        Keyed::Network(error) => network_hint(error),
        Keyed::Data(error) => data_hint(error),
        _ => OPTIONS,
    }
}

const fn confusion_hint(error: &cleave_confusion::Error) -> &'static str {
    use cleave_confusion::Error as Confusion;
    match error {
        Confusion::OtherKey { .. } => OTHER_KEY,
        Confusion::OtherNetwork { .. } => "`cleave inspect MODEL` names the key that a network needs",
        Confusion::NotConfusable { .. } => LAYERS,
        Confusion::Network(error) => network_hint(error),
        Confusion::Secrets(error) => secrets_hint(error),
        _ => OPTIONS,
    }
}

const fn partition_hint(error: &cleave_partition::Error) -> &'static str {
    use cleave_partition::Error as Part;
    match error {
        Part::Network(error) => network_hint(error),
        Part::UnknownDefence { .. } => "the version of the provider's cleave will do",
        Part::Leaks { .. } => LEAKS,
        Part::Policy { .. } => {
            "nothing was written; cut elsewhere or add a defence and audit again, or release without that promise, without --policy"
        }
        Part::Exists { .. } => "name other files, or add --force",
        Part::Contradiction { .. } => "`cleave inspect FILE` says what a model file is",
        Part::Signal(error) => training_hint(error),
        Part::Keyed(error) => keyed_hint(error),
        Part::Confusion(error) => confusion_hint(error),
        Part::NotConfused => "leave --key out; `cleave inspect FRONT` names the key that a front half needs",
        Part::KeyNeeded { .. } => "add --key FILE",
        Part::NotLocked => "`cleave lock` makes a pair with a key",
        Part::BeforeJoin { .. } | Part::NothingLeft { .. } | Part::Uncountable { .. } => LAYERS,
        _ => OPTIONS,
    }
}

const fn audit_hint(error: &cleave_audit::Error) -> &'static str {
    use cleave_audit::Error as Audit;
    match error {
        Audit::Interrupted { .. } => RESUME,
        Audit::Network(error) => network_hint(error),
        Audit::Data(error) => data_hint(error),
        Audit::Partition(error) => partition_hint(error),
        Audit::Keyed(error) => keyed_hint(error),
        Audit::Signal(error) => training_hint(error),
        Audit::Io { .. } => PATH,
        Audit::OtherRun { .. } | Audit::Part { .. } => ANEW,
        _ => OPTIONS,
    }
}

const fn service_hint(error: &cleave_encrypted::service::Error) -> &'static str {
    use cleave_encrypted::service::Error as Service;
    match error {
        Service::TooLittleMemory { .. } | Service::Memory { .. } => {
            "each evaluation needs about a gibibyte; `cleave help serve` explains --memory and --evaluations"
        }
        Service::Scheme(error) => encrypted_hint(error),
        _ => "both sides have to run versions of cleave that speak with each other",
    }
}

const fn service_code(error: &cleave_encrypted::service::Error) -> u8 {
    use cleave_encrypted::{Error as Encrypted, service::Error as Service};
    match error {
        Service::TooLittleMemory { .. } | Service::Memory { .. } => 2,
        Service::Scheme(Encrypted::Release { .. }) => 3,
        Service::Scheme(Encrypted::NoiseBudget { .. }) => 1,
        _ => 5,
    }
}

const fn encrypted_hint(error: &cleave_encrypted::Error) -> &'static str {
    use cleave_encrypted::{Error as Encrypted, ReleaseFault};
    match error {
        Encrypted::NoSetHolds { .. } | Encrypted::Overflow { .. } | Encrypted::Weights { .. } => {
            "give a smaller --max-pixel, --max-weight or --margin-bits"
        }
        Encrypted::Release { fault: ReleaseFault::Io(_), .. } => PATH,
        Encrypted::Release { .. } => "`cleave quantise` makes the list and the networks beside it",
        Encrypted::Write(cleave_secrets::Error::Exists { .. }) => "name another file, or add --force",
        Encrypted::Write(_) => PATH,
        Encrypted::Network { .. } => "give a smaller --max-pixel or --max-weight, or train that network anew",
        Encrypted::Randomness(error) => secrets_hint(error),
        _ => OPTIONS,
    }
}

/// Whose fault it is that nothing came of networks in integers or ciphertexts.
const fn encrypted_code(error: &cleave_encrypted::Error) -> u8 {
    use cleave_encrypted::Error as Encrypted;
    match error {
        Encrypted::Release { .. } | Encrypted::Write(_) => 3,
        Encrypted::Network { .. }
        | Encrypted::NoSetHolds { .. }
        | Encrypted::Overflow { .. }
        | Encrypted::Weights { .. }
        | Encrypted::Count { .. }
        | Encrypted::UnknownSet { .. } => 2,
        _ => 1,
    }
}

/// Whose fault an audit that did not come to its end is.
const fn audit_code(error: &cleave_audit::Error) -> u8 {
    use cleave_audit::Error as Audit;
    match error {
        Audit::Data(_)
        | Audit::Network(cleave_nets::Error::Io { .. })
        | Audit::TooFewImages { .. }
        | Audit::Part { .. }
        | Audit::Io { .. } => 3,
        Audit::Setting { .. } | Audit::Classes { .. } | Audit::OtherRun { .. } | Audit::Partition(_) => 2,
        _ => 1,
    }
}

/// Whether the fault lies in this machine's own keys or settings, and not with the other side.
const fn is_local(error: &cleave_transport::TransportError) -> bool {
    use cleave_transport::TransportError as Transport;
    matches!(
        error,
        Transport::KeyFile { .. }
            | Transport::KeyExists { .. }
            | Transport::Pem { .. }
            | Transport::KeyMismatch { .. }
            | Transport::ClientName { .. }
            | Transport::Validity { .. }
            | Transport::Certificate { .. }
            | Transport::Config { .. }
            | Transport::DuplicateService { .. }
    )
}
