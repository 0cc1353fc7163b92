//! Certificates, keys and client CAs that are replaced while it runs.
