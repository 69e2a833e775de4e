#include "runtime/engine.h"

namespace moat::runtime {

const std::vector<std::string> ca_bundle_paths = {
    "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Arch, Gentoo, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // RHEL, Fedora
    "/etc/pki/tls/certs/ca-bundle.crt",                   // RHEL, Fedora: older, and a link
    "/etc/pki/tls/cert.pem",                              // RHEL, Fedora: OpenSSL's default
    "/etc/pki/tls/cacert.pem",                            // OpenELEC
    "/etc/ssl/ca-bundle.pem",                             // openSUSE
    "/var/lib/ca-certificates/ca-bundle.pem",             // openSUSE: what that links to
    "/etc/ssl/cert.pem",  // Alpine: OpenSSL's and LibreSSL's default
};

const std::vector<std::string> java_store_paths = {
    "/etc/ssl/certs/java/cacerts",                // Debian, Ubuntu, Arch, Alpine
    "/etc/pki/java/cacerts",                      // RHEL, Fedora: a link
    "/etc/pki/ca-trust/extracted/java/cacerts",   // RHEL, Fedora: what that leads to
    "/var/lib/ca-certificates/java-cacerts",      // openSUSE
    "/usr/lib/jvm/*/lib/security/cacerts",        // Corretto, Zulu, Temurin packages
    "/usr/lib/jvm/*/jre/lib/security/cacerts",    // Java 8
    "/usr/local/openjdk-*/lib/security/cacerts",  // images of Docker's library
    "/usr/local/openjdk-*/jre/lib/security/cacerts",
    "/usr/java/*/lib/security/cacerts",  // Oracle
    "/opt/java/*/lib/security/cacerts",  // Temurin's images
    "/opt/*/lib/security/cacerts",       // unpacked by hand
};

const std::vector<std::string> ca_environment = {
    "SSL_CERT_FILE",                       // OpenSSL, Go, Ruby, rustls-native-certs, uv
    "NODE_EXTRA_CA_CERTS",                 // Node.js
    "REQUESTS_CA_BUNDLE",                  // Python requests, which brings certifi's own
    "CURL_CA_BUNDLE",                      // curl built against another bundle
    "GIT_SSL_CAINFO",                      // git
    "CARGO_HTTP_CAINFO",                   // cargo
    "PIP_CERT",                            // pip, which brings its own as well
    "AWS_CA_BUNDLE",                       // AWS CLI and SDKs
    "DENO_CERT",                           // Deno
    "BUNDLE_SSL_CA_CERT",                  // Ruby's Bundler
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",    // gRPC's C core, with roots of its own
    "NIX_SSL_CERT_FILE",                   // programs built by Nix
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",  // gcloud
    "HEX_CACERTS_PATH",                    // Elixir's Hex
    "NPM_CONFIG_CAFILE",                   // npm, where it is not left to Node.js
    "COMPOSER_CAFILE",                     // PHP's Composer
};

}  // namespace moat::runtime
