#include "tests/io/make_pth.h"

#include <span>

#include "io/crc32.h"

namespace espalier {

std::string StoredZip(const ZipFiles& files) {
  std::string zip;
  std::string directory;
  for (const auto& [name, bytes] : files) {
    const std::string common =
        Little(20, 2) + Little(0, 8) + Little(internal::Crc32(std::as_bytes(std::span(bytes))), 4) +
        Little(bytes.size(), 4) + Little(bytes.size(), 4) + Little(name.size(), 2) + Little(0, 2);
    directory += "PK\x01\x02" + Little(0, 2) + common + Little(0, 8) + Little(0, 2) +
                 Little(zip.size(), 4) + name;
    zip += "PK\x03\x04" + common + name + bytes;
  }
  const std::string end = "PK\x05\x06" + Little(0, 4) + Little(files.size(), 2) +
                          Little(files.size(), 2) + Little(directory.size(), 4) +
                          Little(zip.size(), 4) + Little(0, 2);
  return zip + directory + end;
}

std::string PthZip(const std::string& pickle, const std::vector<std::string>& storages) {
  ZipFiles files = {{"archive/data.pkl", pickle}};
  for (std::size_t i = 0; i < storages.size(); ++i) {
    files.emplace_back("archive/data/" + std::to_string(i), storages[i]);
  }
  files.emplace_back("archive/version", "3\n");
  return StoredZip(files);
}

std::string PthOld(const std::string& pickle, const std::vector<std::string>& storages) {
  const std::string magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  std::string keys = "](";
  std::string data;
  for (std::size_t i = 0; i < storages.size(); ++i) {
    keys += PText(std::to_string(i));
    data += Little(storages[i].size() / 4, 8) + storages[i];
  }
  return magic + PDone(PInt(1001)) + PDone(PDict({{"little_endian", "\x88"}})) + pickle +
         PDone(keys + "e") + data;
}

}  // namespace espalier
