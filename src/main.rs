//! Arguments → one command → exit code.

fn main() -> std::process::ExitCode {
    mailjournal::cli::main()
}
