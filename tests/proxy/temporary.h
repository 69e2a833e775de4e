// A directory of a test's own, and programs run in it. Both are gone with the object.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

namespace moat::proxy {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* base = getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/moat-test-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp");
  }
  ~TemporaryDirectory() {
    const std::string command = "rm -rf '" + path_ + "'";
    if (system(command.c_str()) != 0) fprintf(stderr, "%s stays\n", path_.c_str());
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
  }
  // By the shell, in the directory: what it printed, and then "exit N".
  [[nodiscard]] std::string run(const std::string& command) const {
    const std::string line = "cd '" + path_ + "' && { " + command + "\n} 2>&1; echo exit $?";
    FILE* pipe = popen(line.c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("popen");
    std::string out;
    char piece[4096];
    size_t count = 0;
    while ((count = fread(piece, 1, sizeof piece, pipe)) > 0) out.append(piece, count);
    pclose(pipe);
    return out;
  }
  [[nodiscard]] bool has(const std::string& program) const {
    return run("command -v " + program + " >/dev/null").find("exit 0") != std::string::npos;
  }

 private:
  std::string path_;
};

}  // namespace moat::proxy
