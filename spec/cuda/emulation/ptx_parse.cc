/*
 * ptx_parse.cc - PTX text into instructions. A file is split into its
 * functions at once; a kernel's body is parsed when it is first launched. A
 * call is replaced by the body of what it calls.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <fstream>
#include <memory>
#include <sstream>

#include "ptx.h"

namespace ptx {

void fail(const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    throw Fault{text};
}

/* ---- words ---- */

struct Token {
    std::string text;
    int line;
};

static bool is_word(char c) {
    return isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}

static std::vector<Token> tokenize(const std::string &text, size_t from, size_t to, int line) {
    std::vector<Token> tokens;
    for (size_t i = from; i < to;) {
        const char c = text[i];
        if (c == '\n') line++;
        if (isspace(static_cast<unsigned char>(c))) {
            i++;
        } else if (text.compare(i, 2, "//") == 0) {
            while (i < to && text[i] != '\n')
                i++;
        } else if (c == '"') {
            const size_t end = text.find('"', i + 1);
            tokens.push_back({text.substr(i, end + 1 - i), line});
            i = end + 1;
        } else if (is_word(c)) {
            size_t end = i;
            while (end < to && (is_word(text[end]) || text.compare(end, 2, "::") == 0))
                end += text[end] == ':' ? 2 : 1;
            tokens.push_back({text.substr(i, end - i), line});
            i = end;
        } else {
            tokens.push_back({std::string(1, c), line});
            i++;
        }
    }
    return tokens;
}

/* ---- files ---- */

struct Function {
    std::vector<Token> header, body;
};

struct Variable {
    size_t align, bytes;
};

struct File {
    std::string path;
    std::unordered_map<std::string, Function> functions;
    std::unordered_map<std::string, Variable> shared; /* of no bytes: the launch's */
    std::unordered_map<std::string, std::vector<uint64_t>> tables;
    std::map<std::string, std::unique_ptr<Kernel>> kernels;
};

static bool has(const std::vector<Token> &tokens, const char *word) {
    for (const Token &token : tokens)
        if (token.text == word) return true;
    return false;
}

static size_t number_of(const Token &token, const std::string &path) {
    char *end = nullptr;
    const unsigned long long value = strtoull(token.text.c_str(), &end, 0);
    if (token.text.empty() || *end) fail("%s:%d: %s is no number", path.c_str(), token.line, token.text.c_str());
    return static_cast<size_t>(value);
}

static size_t size_of_type(const std::string &type) {
    static const std::unordered_map<std::string, size_t> sizes = {
        {".b8", 1},  {".u8", 1},  {".s8", 1},  {".b16", 2}, {".u16", 2}, {".s16", 2}, {".f16", 2}, {".b32", 4},
        {".u32", 4}, {".s32", 4}, {".f32", 4}, {".b64", 8}, {".u64", 8}, {".s64", 8}, {".f64", 8}, {".pred", 1}};
    auto found = sizes.find(type);
    return found == sizes.end() ? 0 : found->second;
}

/* A declaration without its space: [.align N] .type name[bytes]. */
static std::string parse_variable(const std::vector<Token> &tokens, const std::string &path, Variable *out) {
    size_t type = 0, i = 0;
    out->align = 0;
    for (; i < tokens.size() && tokens[i].text[0] == '.'; i++) {
        if (tokens[i].text == ".align") out->align = number_of(tokens[++i], path);
        if (size_of_type(tokens[i].text)) type = size_of_type(tokens[i].text);
    }
    if (type == 0 || i == tokens.size()) fail("%s:%d: no declaration", path.c_str(), tokens[0].line);
    const std::string name = tokens[i++].text;
    out->bytes = type;
    if (out->align == 0) out->align = type;
    for (; i + 1 < tokens.size() && tokens[i].text == "["; i += 3) {
        if (tokens[i + 1].text == "]") {
            out->bytes = 0;
            break;
        }
        out->bytes *= number_of(tokens[i + 1], path);
    }
    return name;
}

/* .global .align N .b8 name[bytes] = {value, ...}: constants of the math library. */
static void parse_table(File *file, const std::vector<Token> &statement) {
    Variable variable;
    size_t i = 0;
    const std::vector<Token> words(statement.begin() + 1, statement.end());
    const std::string name = parse_variable(words, file->path, &variable);
    while (i < words.size() && words[i].text != "{")
        i++;
    std::vector<unsigned char> bytes;
    for (i++; i < words.size() && words[i].text != "}"; i++)
        if (words[i].text != ",") bytes.push_back(static_cast<unsigned char>(number_of(words[i], file->path)));
    if (bytes.size() != variable.bytes || !has(words, ".b8")) return; /* missed where it is used */
    std::vector<uint64_t> &table = file->tables[name];
    table.resize((bytes.size() + 7) / 8);
    memcpy(table.data(), bytes.data(), bytes.size());
}

static void parse_file(File *file, const std::string &text) {
    const std::vector<Token> tokens = tokenize(text, 0, text.size(), 1);
    std::vector<Token> statement;
    size_t i = 0;
    /* .version, .target and .address_size end with their line. */
    for (; i < tokens.size(); i++) {
        const std::string &word = tokens[i].text;
        if (word == ".version" || word == ".target" || word == ".address_size" || word == ".file") {
            const int line = tokens[i].line;
            while (i + 1 < tokens.size() && tokens[i + 1].line == line)
                i++;
        } else if (word == ";") {
            if (has(statement, ".shared")) {
                Variable variable;
                const std::string name = parse_variable(statement, file->path, &variable);
                file->shared[name] = variable;
            } else if (!statement.empty() && statement[0].text == ".global") {
                parse_table(file, statement);
            }
            statement.clear(); /* other variables are missed where they are used */
        } else if (word == "{" && (has(statement, ".entry") || has(statement, ".func"))) {
            Function function;
            std::string name;
            for (size_t k = 0, depth = 0; k < statement.size(); k++) {
                if (statement[k].text == "(") depth++;
                if (statement[k].text == ")") depth--;
                if (name.empty() && depth == 0 && statement[k].text[0] != '.' && is_word(statement[k].text[0]))
                    name = statement[k].text;
            }
            int depth = 1;
            while (++i < tokens.size()) {
                if (tokens[i].text == "{") depth++;
                if (tokens[i].text == "}" && --depth == 0) break;
                function.body.push_back(tokens[i]);
            }
            function.header.swap(statement);
            file->functions[name] = std::move(function);
            statement.clear();
        } else {
            statement.push_back(tokens[i]);
        }
    }
}

/* ---- bodies ---- */

class Parser {
  public:
    Parser(File &of, Kernel *into) : file(of), kernel(into) {
    }
    void kernel_body(const Function &function);

  private:
    File &file;
    Kernel *kernel;
    const std::vector<Token> *tokens = nullptr;
    size_t at = 0;
    int depth = 0, calls = 0;
    std::string prefix; /* of labels, per call */
    std::vector<std::unordered_map<std::string, uint32_t>> scopes;
    std::unordered_map<std::string, uint32_t> labels;
    std::vector<std::pair<size_t, std::string>> jumps;
    std::map<std::pair<int, uint64_t>, uint32_t> constants;
    std::unordered_map<std::string, size_t> shared_offsets;

    const Token &peek(size_t ahead = 0) const {
        static const Token none = {"", 0};
        return at + ahead < tokens->size() ? (*tokens)[at + ahead] : none;
    }
    const Token &next() {
        if (at == tokens->size()) fail("%s: %s ends in the middle", file.path.c_str(), kernel->name.c_str());
        return (*tokens)[at++];
    }
    void expect(const char *text) {
        const Token &token = next();
        if (token.text != text)
            fail("%s:%d: %s in place of %s", file.path.c_str(), token.line, token.text.c_str(), text);
    }
    std::vector<Token> until(const char *end) {
        std::vector<Token> taken;
        while (peek().text != end)
            taken.push_back(next());
        at++;
        return taken;
    }

    uint32_t new_slot(Special kind, uint64_t value = 0) {
        kernel->slots.push_back({kind, value});
        return static_cast<uint32_t>(kernel->slots.size() - 1);
    }
    uint32_t constant(Special kind, uint64_t value) {
        auto found = constants.find({kind, value});
        if (found != constants.end()) return found->second;
        return constants[{kind, value}] = new_slot(kind, value);
    }
    /* The slot of a name, or false. */
    bool find(const std::string &name, uint32_t *slot) const {
        for (size_t i = scopes.size(); i-- > 0;) {
            auto found = scopes[i].find(name);
            if (found == scopes[i].end()) continue;
            *slot = found->second;
            return true;
        }
        return false;
    }

    size_t share(const std::string &name, const Variable &variable);
    void declare_registers(const std::vector<Token> &words);
    void directive();
    uint32_t value(const Token &token, bool negative);
    Operand operand();
    bool moves_argument(Instruction *made);
    void instruction();
    void call(int line);
    void statements();
    void body(const std::vector<Token> &of, const std::string &label_prefix);
};

/* Where an array of shared memory lies: 16 bytes that nobody may touch behind each. */
size_t Parser::share(const std::string &name, const Variable &variable) {
    auto found = shared_offsets.find(name);
    if (found != shared_offsets.end()) return found->second;
    size_t start = SHARED_BASE;
    if (!kernel->shared.empty()) start = kernel->shared.back().first + kernel->shared.back().second + 16;
    start = (start + variable.align - 1) / variable.align * variable.align;
    kernel->shared.push_back({start, variable.bytes});
    kernel->static_bytes = (kernel->static_bytes + variable.align - 1) / variable.align * variable.align;
    kernel->static_bytes += variable.bytes;
    return shared_offsets[name] = start;
}

/* .type name, or name<count>, separated by commas. */
void Parser::declare_registers(const std::vector<Token> &words) {
    for (size_t i = 1; i < words.size(); i++) {
        const std::string &name = words[i].text;
        if (name == ",") continue;
        if (i + 1 < words.size() && words[i + 1].text == "<") {
            const size_t count = number_of(words[i + 2], file.path);
            for (size_t n = 0; n < count; n++)
                scopes.back()[name + std::to_string(n)] = new_slot(REGISTER);
            i += 3;
        } else {
            scopes.back()[name] = new_slot(REGISTER);
        }
    }
}

void Parser::directive() {
    const Token first = next();
    if (first.text == ".loc") {
        /* Ends with its line; what follows a comma belongs to it, too. */
        while (peek().line == first.line)
            at++;
        return;
    }
    const std::vector<Token> words = until(";");
    if (first.text == ".pragma") return;
    if (first.text == ".reg") return declare_registers(words);
    Variable variable;
    const std::string name = parse_variable(words, file.path, &variable);
    if (first.text == ".shared") {
        file.shared[name] = variable;
    } else if (first.text == ".local") {
        kernel->local_bytes = (kernel->local_bytes + variable.align - 1) / variable.align * variable.align;
        scopes.back()[name] = constant(CONSTANT, kernel->local_bytes);
        kernel->local_bytes += variable.bytes;
    } else if (first.text == ".param" && variable.bytes <= 8) {
        scopes.back()[name] = new_slot(ARGUMENT);
    } else {
        fail("%s:%d: %s %s is unknown to the interpreter", file.path.c_str(), first.line, first.text.c_str(),
             name.c_str());
    }
}

uint32_t Parser::value(const Token &token, bool negative) {
    static const std::unordered_map<std::string, Special> specials = {
        {"%tid.x", TID_X},     {"%tid.y", TID_Y},       {"%tid.z", TID_Z},       {"%ntid.x", NTID_X},
        {"%ntid.y", NTID_Y},   {"%ntid.z", NTID_Z},     {"%ctaid.x", CTAID_X},   {"%ctaid.y", CTAID_Y},
        {"%ctaid.z", CTAID_Z}, {"%nctaid.x", NCTAID_X}, {"%nctaid.y", NCTAID_Y}, {"%nctaid.z", NCTAID_Z},
        {"%laneid", LANE}};
    const std::string &text = token.text;
    uint32_t slot;
    if (!negative && find(text, &slot)) return slot;
    auto special = specials.find(text);
    if (special != specials.end()) return constant(special->second, 0);
    for (const Parameter &parameter : kernel->parameters)
        if (parameter.name == text) return constant(CONSTANT, parameter.offset);
    auto shared = file.shared.find(text);
    if (shared != file.shared.end()) {
        if (shared->second.bytes) return constant(CONSTANT, share(text, shared->second));
        return constant(LAUNCH_SHARED, 0);
    }
    auto table = file.tables.find(text);
    if (table != file.tables.end()) {
        const uint64_t start = reinterpret_cast<uint64_t>(table->second.data());
        kernel->tables.push_back({start, start + 8 * table->second.size()});
        return constant(CONSTANT, start);
    }
    char *end = nullptr;
    uint64_t number = 0;
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'f' || text[1] == 'F' || text[1] == 'd' || text[1] == 'D')) {
        number = strtoull(text.c_str() + 2, &end, 16);
    } else if (isdigit(static_cast<unsigned char>(text[0]))) {
        number = strtoull(text.c_str(), &end, 0);
        if (*end == 'U') end++;
    }
    if (!end || *end) fail("%s:%d: %s is unknown to the interpreter", file.path.c_str(), token.line, text.c_str());
    return constant(CONSTANT, negative ? 0 - number : number);
}

Operand Parser::operand() {
    Operand result;
    if (peek().text == "{") {
        at++;
        while (peek().text != "}") {
            if (peek().text == ",") {
                at++;
                continue;
            }
            const bool negative = peek().text == "-";
            at += negative;
            const Token &token = next();
            result.slots.push_back(token.text == "_" ? new_slot(REGISTER) : value(token, negative));
        }
        at++;
        return result;
    }
    if (peek().text == "[") {
        at++;
        result.address = true;
        result.slots.push_back(value(next(), false));
        if (peek().text == "+") {
            at++;
            const bool negative = peek().text == "-";
            at += negative;
            const int64_t offset = static_cast<int64_t>(number_of(next(), file.path));
            result.offset = negative ? -offset : offset;
        }
        expect("]");
        return result;
    }
    const bool negative = peek().text == "-";
    at += negative;
    const Token &token = next();
    result.slots.push_back(token.text == "_" ? new_slot(REGISTER) : value(token, negative));
    if (peek().text == "|") {
        at++;
        const Token &second = next();
        result.slots.push_back(second.text == "_" ? new_slot(REGISTER) : value(second, false));
    }
    return result;
}

/* (results), name, (arguments): the names are slots; the callee's parameters become them. */
void Parser::call(int line) {
    std::vector<Token> words = until(";");
    std::vector<std::vector<Token>> lists;
    std::string name;
    for (size_t i = 0; i < words.size(); i++) {
        if (words[i].text == "(") {
            lists.emplace_back();
            while (words[++i].text != ")")
                if (words[i].text != ",") lists.back().push_back(words[i]);
        } else if (words[i].text != ",") {
            name = words[i].text;
        }
    }
    auto found = file.functions.find(name);
    if (found == file.functions.end() || ++depth > 8)
        fail("%s:%d: a call of %s is unknown to the interpreter", file.path.c_str(), line, name.c_str());
    const std::vector<Token> &header = found->second.header;
    std::vector<uint32_t> slots;
    for (const auto &list : lists)
        for (const Token &token : list)
            slots.push_back(value(token, false));
    scopes.emplace_back();
    size_t given = 0;
    for (size_t i = 0; i < header.size(); i++) {
        if (header[i].text != ".param") continue;
        size_t last = i;
        while (last + 1 < header.size() && header[last + 1].text != "," && header[last + 1].text != ")")
            last++;
        if (given == slots.size()) fail("%s:%d: too few arguments of %s", file.path.c_str(), line, name.c_str());
        scopes.back()[header[last].text] = slots[given++];
    }
    if (given != slots.size()) fail("%s:%d: too many arguments of %s", file.path.c_str(), line, name.c_str());
    const std::vector<Token> *outer = tokens;
    const size_t back = at;
    const std::string outer_prefix = prefix;
    body(found->second.body, "call" + std::to_string(++calls) + ":");
    labels[prefix + "return"] = static_cast<uint32_t>(kernel->code.size());
    tokens = outer, at = back, prefix = outer_prefix;
    scopes.pop_back();
    depth--;
}

/* What a call passes lies in slots: loads and stores of it become moves. */
bool Parser::moves_argument(Instruction *made) {
    if (made->opcode.compare(0, 9, "ld.param.") && made->opcode.compare(0, 9, "st.param.")) return false;
    for (Operand &each : made->operands) {
        if (!each.address || kernel->slots[each.slots[0]].kind != ARGUMENT) continue;
        if (each.offset)
            fail("%s:%d: a part of an argument is unknown to the interpreter", file.path.c_str(), made->line);
        each.address = false;
        return true;
    }
    return false;
}

void Parser::instruction() {
    Instruction made;
    if (peek().text == "@") {
        at++;
        made.guard_negated = peek().text == "!";
        at += made.guard_negated;
        made.guard = static_cast<int>(value(next(), false));
    }
    const Token opcode = next();
    made.line = opcode.line;
    made.opcode = opcode.text;
    if (opcode.text == "call.uni") {
        if (made.guard >= 0) fail("%s:%d: a call under a condition is unknown", file.path.c_str(), opcode.line);
        return call(opcode.line);
    }
    if (opcode.text == "bra" || opcode.text == "bra.uni") {
        made.control = BRANCH;
        jumps.push_back({kernel->code.size(), prefix + next().text});
        expect(";");
    } else if (opcode.text == "ret" && depth) {
        made.control = BRANCH;
        jumps.push_back({kernel->code.size(), prefix + "return"});
        expect(";");
    } else {
        while (peek().text != ";") {
            made.operands.push_back(operand());
            if (peek().text == ",") at++;
        }
        at++;
        const Opcode *known = find_opcode(moves_argument(&made) ? "mov.b64" : opcode.text);
        if (!known)
            fail("%s:%d: instruction %s is unknown to the interpreter", file.path.c_str(), opcode.line,
                 opcode.text.c_str());
        if (static_cast<int>(made.operands.size()) != known->operands)
            fail("%s:%d: %s with %zu operands is unknown to the interpreter", file.path.c_str(), opcode.line,
                 opcode.text.c_str(), made.operands.size());
        made.run = known->run;
        made.control = known->control;
        made.members = known->members;
    }
    kernel->code.push_back(std::move(made));
}

void Parser::statements() {
    while (at < tokens->size()) {
        const Token &token = peek();
        if (token.text == "{") {
            at++;
            scopes.emplace_back();
        } else if (token.text == "}") {
            at++;
            scopes.pop_back();
        } else if (token.text == ";") {
            at++;
        } else if (peek(1).text == ":") {
            labels[prefix + token.text] = static_cast<uint32_t>(kernel->code.size());
            at += 2;
        } else if (token.text[0] == '.') {
            directive();
        } else {
            instruction();
        }
    }
}

void Parser::body(const std::vector<Token> &of, const std::string &label_prefix) {
    tokens = &of;
    at = 0;
    prefix = label_prefix;
    scopes.emplace_back();
    statements();
    scopes.pop_back();
}

void Parser::kernel_body(const Function &function) {
    const std::vector<Token> &header = function.header;
    for (size_t i = 0; i < header.size(); i++) {
        if (header[i].text == ".param") {
            std::vector<Token> words;
            while (i + 1 < header.size() && header[i + 1].text != "," && header[i + 1].text != ")")
                words.push_back(header[++i]);
            Variable variable;
            const std::string name = parse_variable(words, file.path, &variable);
            const size_t start = (kernel->parameter_bytes + variable.align - 1) / variable.align * variable.align;
            kernel->parameters.push_back({name, start, variable.bytes});
            kernel->parameter_bytes = start + variable.bytes;
        } else if ((header[i].text == ".maxntid" || header[i].text == ".reqntid") && i + 1 < header.size()) {
            kernel->max_threads = 1;
            while (i + 1 < header.size() && header[i + 1].text[0] != '.')
                if (header[++i].text != ",")
                    kernel->max_threads *= static_cast<unsigned>(number_of(header[i], file.path));
        }
    }
    body(function.body, "");
    for (const auto &jump : jumps) {
        auto found = labels.find(jump.second);
        if (found == labels.end()) fail("%s: label %s is missing", file.path.c_str(), jump.second.c_str());
        kernel->code[jump.first].target = found->second;
    }
    size_t start = SHARED_BASE;
    if (!kernel->shared.empty()) start = kernel->shared.back().first + kernel->shared.back().second + 16;
    kernel->dynamic_start = (start + 127) / 128 * 128;
}

/* ---- finding ---- */

static std::map<std::string, std::unique_ptr<File>> files;

/* NULL: there is none. */
static File *open_file(const std::string &path) {
    auto known = files.find(path);
    if (known != files.end()) return known->second.get();
    std::ifstream stream(path);
    std::unique_ptr<File> file;
    if (stream) {
        std::stringstream text;
        text << stream.rdbuf();
        file.reset(new File);
        file->path = path;
        parse_file(file.get(), text.str());
    }
    return (files[path] = std::move(file)).get();
}

const Kernel *find_kernel(const std::string &path, const std::string &name) {
    File *file = open_file(path);
    if (!file) return nullptr;
    auto done = file->kernels.find(name);
    if (done != file->kernels.end()) return done->second.get();
    auto function = file->functions.find(name);
    if (function == file->functions.end()) return nullptr;
    std::unique_ptr<Kernel> kernel(new Kernel);
    kernel->name = name;
    kernel->file = path;
    Parser(*file, kernel.get()).kernel_body(function->second);
    return (file->kernels[name] = std::move(kernel)).get();
}

} // namespace ptx
