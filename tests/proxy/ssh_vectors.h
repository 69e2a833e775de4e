// Keys made by ssh-keygen for these tests, and what ssh-agent (OpenSSH 9.2) signed with them.
#pragma once

namespace moat::test {

constexpr const char* ssh_message = "the session id, 32 bytes of data";

struct SshVector {
  const char* key;        // base64
  const char* signature;  // base64, of ssh_message
};
constexpr SshVector ssh_ed25519 = {
    "AAAAC3NzaC1lZDI1NTE5AAAAIMZazApKow7qLHdVcLMY/ptPOeqgHKsNYrm6pTdXUrr8",
    "AAAAC3NzaC1lZDI1NTE5AAAAQFX/MCw83efVEUr862JGE9A0mHn4TsbzD8qs8WAvC07CYU0DaoSGfByV658YBBxYF4"
    "HHKJ+mhtkZz5O3ZCWftAU="};
constexpr SshVector ssh_p256 = {
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGlTQJO92TOBel9xvLH+ecpL+e3Snas0tGmjEP"
    "ipsi/TzdQdyCmD4mqlgHVHNGzScdDHJ83bLDoHBwIiTM/SX1w=",
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAABIAAAAIHJn1Cw+J6a5+hSd+frCc1BTJkfPzqbbC0wszhZO/z4MAAAAIF"
    "fXRoYep1vPmCW3daumMWNwqBqlzjF5e9J+G6LF9ccc"};
constexpr SshVector ssh_p384 = {
    "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBFsS2ExumBvDL2KVPi0SWYPSBTuq6gREuYkH+/"
    "QGp61smSF0m5s0xAOyvvaaLWrfAw3bGCxiq3nyW3XMXAPD5UrWRT3r6NgDQvUPDPvvJxbqtm+JR6lIx5BjnbQQTTw/"
    "Gg==",
    "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAABqAAAAMQCewazJ1tV5gxcDp1CrwSUKzVjdyqhs3sMC5zZ0gmjlBcR89G"
    "bC4tAg8hK1sNpSClUAAAAxAIsg1iRgOtr8amjFNq8LT45pZZMEv0Twf4jqoSyV/bgiKCaaa/SuCK9rE2euXfkYlQ=="};
constexpr SshVector ssh_p521 = {
    "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAG85J/Po4RdlYDP0sCdBj6UUpZ5zPPqENzojv"
    "NlJrC6cFzZjiyt46Q7Yk/m6vGaW4k+2hj0a6MouKxdZ6gb2HfKyAHd+Dhym9ExFnc5YE3M9NDwnFIKUY/9C03mF2je"
    "+WcmZ2OU77209qXovGdg10+nMnKo5dwqdmKl1ueGMiuh+JxiMQ==",
    "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAACLAAAAQgGZS/0qKNA0TyIbiC9K7TYlfFL1+0rN1hjLC+eZvHazniQcKJ"
    "P5m1SyGViT+mGAFPAJW/Mi5Nat5zJ67lewSPizaAAAAEEkDK6StD7hCz0wWBu5rO2pBoA/AMaIUjaslhK2i43qXBS/"
    "cX50gBLPH+pmB4kvwtN+GT+/XeuKXYD5FlisVVs1Zw=="};
constexpr SshVector ssh_rsa_sha256 = {
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQDUdDrzv8aKHQiT9wxYCiCxi6WXGxkzLBFIoaPCYZiOVKu2fX2nYBmogYkqVE"
    "YA77sPB9KerFqA8PtcTEOnd9C5XlB7rkpelOUbd+inPD7F6XCGltrwKbcmIzCRPOB2LHXfGaWUJV8FoV46CsGPAGII"
    "FdkhX0g4/2ZTg76fVFwGZx+GTCRYUCDYX5yNRZ/f9KIBgzR3+PaJHd4QWytaLI9yrjgxjKPEVM1IXN/0WNISDF/Q7j"
    "Jcdog9lSYSWsSRCqriFyhKCdB9JdKBrCHyDIvz9OattGmgPKRDuLm1SnXxznPJ09XRkQnc57A10dOENQkFzpbQeZFT"
    "W2LkxdgrqZzp",
    "AAAADHJzYS1zaGEyLTI1NgAAAQCzvMt6llLKue5uDONySQ/kh3Z+l5SIMegOhMvJ+3Pwyfk8Yg2xmMyFmZB59JHGmO"
    "rCx29FvmThX5in3mfkSCp6uIIV6Qmhxkvr1GZYQdFlb3ukVxMZNY2sOfKGWlECUrsbemggW/3qxperU3EtTo8XFqKt"
    "C6Z+TJhNlqJlX9R2t6va9Zh/nxdCJ6ny0Lu1yTGl4ASAkaJa4U9O6ngS4Ij2j0t+5M+SdR/XPcW5gDnV9PWKQtrOpa"
    "aDwC3AqNV5gA5VAjW5qLjzg3tvB0ejG5+WDuxtbNAoCmzieWVjxpRr/AXr5QtHzBKizWWMlex1+8biFrtbYyIMSU7B"
    "p2NgBhW/"};
constexpr SshVector ssh_rsa_sha512 = {
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQDUdDrzv8aKHQiT9wxYCiCxi6WXGxkzLBFIoaPCYZiOVKu2fX2nYBmogYkqVE"
    "YA77sPB9KerFqA8PtcTEOnd9C5XlB7rkpelOUbd+inPD7F6XCGltrwKbcmIzCRPOB2LHXfGaWUJV8FoV46CsGPAGII"
    "FdkhX0g4/2ZTg76fVFwGZx+GTCRYUCDYX5yNRZ/f9KIBgzR3+PaJHd4QWytaLI9yrjgxjKPEVM1IXN/0WNISDF/Q7j"
    "Jcdog9lSYSWsSRCqriFyhKCdB9JdKBrCHyDIvz9OattGmgPKRDuLm1SnXxznPJ09XRkQnc57A10dOENQkFzpbQeZFT"
    "W2LkxdgrqZzp",
    "AAAADHJzYS1zaGEyLTUxMgAAAQCLcZXtURBBsubipgLJ5Du4TGwtaAQpRExreDbxe6m0AwDaMt+gV5GqWe0nkhfCqh"
    "PFgoBcos17yk0bjHqgABhtYL2H8d+zPaLQC1/hq++uGfeG1aIEXwXBwVzOVmpLSsbxYbZNMW0iuYXp1ZcW2b1icqlN"
    "oKHDJ7IVyP+FCUYmKWQnpeekjjHqrd2mX8o5NELQ4PLIl28sGLNnw+A0Qz/QCyf1vsXsPJ/2H9QHQXDmmN1KFDXmgv"
    "ee4Vyyn15GOSfMOBMZteU6mmx8d38WAy9fE/bWlY8htn0HMRIrs4g+qBhEGHnQTBUBFb72G8OSpqr/dtXwg848jOmx"
    "aHSmH4Ao"};
constexpr SshVector ssh_rsa_sha1 = {
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQDUdDrzv8aKHQiT9wxYCiCxi6WXGxkzLBFIoaPCYZiOVKu2fX2nYBmogYkqVE"
    "YA77sPB9KerFqA8PtcTEOnd9C5XlB7rkpelOUbd+inPD7F6XCGltrwKbcmIzCRPOB2LHXfGaWUJV8FoV46CsGPAGII"
    "FdkhX0g4/2ZTg76fVFwGZx+GTCRYUCDYX5yNRZ/f9KIBgzR3+PaJHd4QWytaLI9yrjgxjKPEVM1IXN/0WNISDF/Q7j"
    "Jcdog9lSYSWsSRCqriFyhKCdB9JdKBrCHyDIvz9OattGmgPKRDuLm1SnXxznPJ09XRkQnc57A10dOENQkFzpbQeZFT"
    "W2LkxdgrqZzp",
    "AAAAB3NzaC1yc2EAAAEAm+9g1zLEn2/fhWWM/MZRJGC4KYR6C0SkMTLTZCYMa+NZEztqvVykvO3XPJcJizsZR3sXL9"
    "7rWIv7M8Vi+J33uvnzWHa4RMR3+e84ISyIEoqJ76EGMysbJHM6sbgxou4Wmiuwy1v4EYsu1eo2j3KXP3VbHBVE9+3t"
    "rrU4jB/FJjni0wDTLp5nVm74GD1lSdKOWxEPlXsKLTjSNyusBGUiTD8gEUhT2c//TcvBpO52jn5ncyGxViuzM5oF1U"
    "dTOd/9tHAwBcu3U4YI8oZiQsNjgFyvfSYlqh4AcTIQjY0bsjbv5ybA32jMfsksCTqQ1ac9DNPIOrFN4GYfeAD9p7BF"
    "8A=="};
constexpr SshVector ssh_rsa_1024 = {
    "AAAAB3NzaC1yc2EAAAADAQABAAAAgQDAXKo1+D5AruwxEnxHOmdffPKl4cf+DempyYRVXRPzPz+zi5szfk7QMuN4n7"
    "z62/hO+/FED3MZUr0x9Pt5k4TsVztUxJM9m8s1zFUGLuIGC5z0/zBOzbZH4InK2YDjO2HJJvS2hiKJfOjVslyrDlkf"
    "ex/9MiznFkuDfQyI7l/eJQ==",
    "AAAADHJzYS1zaGEyLTI1NgAAAIC6El0oRlteVNA/P2qUYW6dwRKZ0ublFuQIzhhzM30+xyc9tldkcfg8iuZhoMpJ2K"
    "737MspZrDkQWwLU2fG/1UQFD0scd3fc8+8OUiGyidFoTjGJU95eh0WrLsEif2jV9dPSxhJ/sk6doy5qHlPPjFAKUrh"
    "rvltcd1OgTuYpPkxMw=="};

}  // namespace moat::test
