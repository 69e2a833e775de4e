// A directory for one test, which goes with it; its real path.
#pragma once

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace moat::test {

struct TempDirectory {
  std::string path;

  TempDirectory() {
    const char* const base = getenv("TMPDIR");
    std::string name = std::string(base != nullptr ? base : "/tmp") + "/moat-top-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path = std::filesystem::canonical(name).string();
  }
  ~TempDirectory() { std::filesystem::remove_all(path); }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  [[nodiscard]] std::string at(const std::string& name) const { return path + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(at(name)) << text;
  }
  void make(const std::string& name) const {
    std::filesystem::create_directories(at(name));
    chmod(at(name).c_str(), 0700);
  }
};

}  // namespace moat::test
