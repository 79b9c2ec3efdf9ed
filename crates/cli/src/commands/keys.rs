//! `cleave keys`: certificates for a server and its clients.

use crate::{Failure, Output};
use clap::Args;
use cleave_transport::{Authority, Existing, client_stem};
use serde::Serialize;
use std::path::PathBuf;

/// Make a certificate authority, a server certificate and client certificates
#[derive(Args, Clone, Debug)]
pub struct Keys {
    /// Folder for the files; an authority that is there already is used
    #[arg(long)]
    out: PathBuf,
    /// Names and addresses under which clients reach the server
    #[arg(long, value_delimiter = ',', default_value = "localhost,127.0.0.1")]
    server_name: Vec<String>,
    /// Clients to make certificates for
    #[arg(long, value_delimiter = ',')]
    client: Vec<String>,
    /// Days that the certificates are valid
    #[arg(long, default_value_t = 365)]
    days: i32,
}

/// What was made.
#[derive(Serialize)]
struct Made {
    folder: PathBuf,
    files: Vec<String>,
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "in {}:", self.folder.display())?;
        self.files.iter().try_for_each(|file| writeln!(f, "  {file}"))?;
        write!(f, "keep ca-key.pem and server-key.pem to yourself; a client gets ca.pem and its own two files")
    }
}

impl Keys {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.out).map_err(|source| Failure::file(&self.out, source))?;
        let mut files = Vec::new();
        let authority = if self.out.join("ca.pem").exists() {
            Authority::load(&self.out)?
        } else {
            let authority = Authority::make(self.days)?;
            authority.save(&self.out, Existing::Keep)?;
            files.extend(["ca.pem".to_owned(), "ca-key.pem".to_owned()]);
            authority
        };
        if self.out.join("server.pem").exists() {
            eprintln!("server.pem is there and stays; to make another, for other names or days, remove it and its key");
        } else {
            authority.issue_server(&self.server_name, self.days)?.save(&self.out, "server", Existing::Keep)?;
            files.extend(["server.pem".to_owned(), "server-key.pem".to_owned()]);
        }
        for name in &self.client {
            let stem = client_stem(name)?;
            authority.issue_client(name, self.days)?.save(&self.out, &stem, Existing::Keep)?;
            files.extend([format!("{stem}.pem"), format!("{stem}-key.pem")]);
        }
        output.result(&Made { folder: self.out.clone(), files })
    }
}
