/*
 * ptx_symbols.cc - reads the symbol table of this shared object from its file:
 * kernels are hidden, and many are static, so the loader does not know them.
 */
#include "ptx_symbols.h"

#include <dlfcn.h>
#include <elf.h>

#include <fstream>
#include <sstream>
#include <unordered_map>

#include "ptx.h"

namespace ptx {

typedef std::unordered_map<uintptr_t, std::vector<std::string>> Table;

/* nvcc does not mark internal linkage: _ZL in the host's names is _Z. */
static std::string device_name(const std::string &name) {
    return name.compare(0, 3, "_ZL") ? name : "_Z" + name.substr(3);
}

template <typename T> static const T *at(const std::string &image, uint64_t offset, uint64_t count) {
    if (offset > image.size() || count > (image.size() - offset) / sizeof(T)) fail("the symbols cannot be read");
    return reinterpret_cast<const T *>(image.data() + offset);
}

static Table read_symbols() {
    Table table;
    Dl_info info;
    if (!dladdr(reinterpret_cast<const void *>(&symbols_at), &info)) fail("the symbols cannot be found");
    std::ifstream stream(info.dli_fname, std::ios::binary);
    std::stringstream text;
    text << stream.rdbuf();
    const std::string image = text.str();
    const Elf64_Ehdr *header = at<Elf64_Ehdr>(image, 0, 1);
    const Elf64_Shdr *sections = at<Elf64_Shdr>(image, header->e_shoff, header->e_shnum);
    for (int s = 0; s < header->e_shnum; s++) {
        if (sections[s].sh_type != SHT_SYMTAB || sections[s].sh_link >= header->e_shnum) continue;
        const uint64_t count = sections[s].sh_size / sizeof(Elf64_Sym);
        const Elf64_Sym *symbols = at<Elf64_Sym>(image, sections[s].sh_offset, count);
        const Elf64_Shdr &strings = sections[sections[s].sh_link];
        const char *names = at<char>(image, strings.sh_offset, strings.sh_size);
        for (uint64_t i = 0; i < count; i++) {
            if (ELF64_ST_TYPE(symbols[i].st_info) != STT_FUNC || symbols[i].st_name >= strings.sh_size) continue;
            const std::string name = names + symbols[i].st_name;
            if (name.compare(0, 2, "_Z")) continue;
            std::vector<std::string> &known = table[reinterpret_cast<uintptr_t>(info.dli_fbase) + symbols[i].st_value];
            const std::string device = device_name(name);
            bool seen = false;
            for (const std::string &other : known)
                seen = seen || other == device;
            if (!seen) known.push_back(device);
        }
    }
    return table;
}

const std::vector<std::string> &symbols_at(const void *function) {
    static const Table table = read_symbols();
    static const std::vector<std::string> none;
    auto found = table.find(reinterpret_cast<uintptr_t>(function));
    return found == table.end() ? none : found->second;
}

} // namespace ptx
