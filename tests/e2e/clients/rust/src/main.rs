//! The smallest ordinary Rust program: who am I. With `each`: once for every line of stdin. With
//! `assume ARN`: for every line become that role, and go on if that is denied.
use aws_sdk_sts::error::DisplayErrorContext;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(walk());
}

async fn walk() {
    // Everything here speaks plain HTTP to loopback, so the client is built without TLS.
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http)
        .load()
        .await;
    let client = aws_sdk_sts::Client::new(&config);
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.as_slice() {
        [] => ask(&client).await,
        [mode, arn] if mode == "assume" => {
            for _ in std::io::stdin().lines() {
                assume(&client, arn).await;
            }
        }
        _ => {
            for _ in std::io::stdin().lines() {
                ask(&client).await;
            }
        }
    }
}

async fn ask(client: &aws_sdk_sts::Client) {
    match client.get_caller_identity().send().await {
        Ok(answer) => println!("arn {}", answer.arn().unwrap_or_default()),
        Err(error) => {
            eprintln!("{}", DisplayErrorContext(&error));
            std::process::exit(1);
        }
    }
}

async fn assume(client: &aws_sdk_sts::Client, arn: &str) {
    match client.assume_role().role_arn(arn).role_session_name("next").send().await {
        Ok(_) => println!("done"),
        Err(error) => println!("no {}", DisplayErrorContext(&error).to_string().replace('\n', " ")),
    }
}
