/*
 * places.cc - which line of the sources an address in the code belongs to, for
 * the reports of races.cc.
 */
#ifdef BL_EMULATION_RACES

#include <execinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <unordered_map>

const std::string &bl_watch_lines(uintptr_t base, uint32_t offset);

/* Lines of the sources, innermost first, the emulation's own left out. */
static std::string find_lines(uintptr_t base, uint32_t offset) {
    char library[512] = "", command[700], line[400];
    void *own = reinterpret_cast<void *>(base);
    char **symbols = backtrace_symbols(&own, 1);
    if (symbols) snprintf(library, sizeof library, "%.*s", static_cast<int>(strcspn(symbols[0], "(")), symbols[0]);
    free(symbols);
    snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%x 2>/dev/null", library, offset - 1);
    std::string lines;
    FILE *pipe = popen(command, "r");
    while (pipe && fgets(line, sizeof line, pipe)) {
        const char *name = strrchr(line, '/') ? strrchr(line, '/') + 1 : line;
        if (strstr(line, "/include/") || strstr(line, "intrinsics.h") || strstr(line, "emulation.h")) continue;
        if (!lines.empty()) lines += " < ";
        lines.append(name, strcspn(name, " \n"));
    }
    if (pipe) pclose(pipe);
    snprintf(line, sizeof line, "+0x%x", offset);
    return lines.empty() ? line : lines;
}

/* Finding them takes long, and every thread of a kernel may be at the same place. */
const std::string &bl_watch_lines(uintptr_t base, uint32_t offset) {
    static std::unordered_map<uint32_t, std::string> known;
    std::string &lines = known[offset];
    if (lines.empty()) lines = find_lines(base, offset);
    return lines;
}

#endif
