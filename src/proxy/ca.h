// Ca: the certificate authority of one run. Its key, and the one leaf key, live in this process's
// memory and nowhere else.
#pragma once

#include <memory>
#include <string>

#include "core/result.h"

namespace moat::proxy {

class Ca {
 public:
  // A P-256 key and a self-signed certificate (CA:TRUE, pathlen 0, keyCertSign), valid from a day
  // ago for a year, named after the run.
  static Result<std::unique_ptr<Ca>> create(const std::string& run_name);
  ~Ca();
  Ca(const Ca&) = delete;
  Ca& operator=(const Ca&) = delete;

  [[nodiscard]] const std::string& pem() const;

  struct Leaf;  // certificate chain and key, as tls.cpp wants them
  // The certificate for a DNS name or an IP literal: minted at first use, valid from a day ago for
  // 30 days, kept in a cache of at most 512 names, the least recently used leaving first. Shared,
  // so that a session outlives its name's stay in the cache.
  Result<std::shared_ptr<Leaf>> leaf(const std::string& name);

 private:
  struct Impl;
  explicit Ca(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat::proxy
