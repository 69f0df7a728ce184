//! A node of ours that does nothing but elect.

use trefoil_interop_redhac::node::{Options, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(Options::from_args(std::env::args().skip(1))?).await
}
