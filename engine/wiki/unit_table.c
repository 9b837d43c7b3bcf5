/*
 * unit_table.c - the units of {{convert}} whose code is not what a reader sees.
 * A unit that is not here (km, mm, kW, mph ...) is its own symbol.
 */
#include "wiki/unit.h"

#include "wiki/language.h"

/* In byte order of the codes. */
static const bl_unit units[] = {
    {"AU", "AU", "astronomical unit", "astronomical units", 0},
    {"C", "°C", "degree Celsius", "degrees Celsius", 0},
    {"C-change", "°C", "degree Celsius", "degrees Celsius", 0},
    {"Cal", "Cal", "calorie", "calories", BL_UNIT_NAMED},
    {"F", "°F", "degree Fahrenheit", "degrees Fahrenheit", 0},
    {"F-change", "°F", "degree Fahrenheit", "degrees Fahrenheit", 0},
    {"K-change", "K", "kelvin", "kelvins", 0},
    {"L", "L", "litre", "litres", 0},
    {"LT", "long tons", "long ton", "long tons", BL_UNIT_NAMED},
    {"MT", "t", "metric ton", "metric tons", BL_UNIT_NAMED},
    {"PD", "", "inhabitant", "inhabitants", BL_UNIT_NAMED},
    {"PS", "PS", "metric horsepower", "metric horsepower", 0},
    {"R", "°R", "degree Rankine", "degrees Rankine", 0},
    {"ST", "short tons", "short ton", "short tons", BL_UNIT_NAMED},
    {"USbsh", "US bsh", "US bushel", "US bushels", BL_UNIT_NAMED},
    {"USbu", "US bu", "US bushel", "US bushels", BL_UNIT_NAMED},
    {"USflbarrel", "US fl bbl", "US fluid barrel", "US fluid barrels", BL_UNIT_NAMED},
    {"USfloz", "US fl oz", "US fluid ounce", "US fluid ounces", BL_UNIT_NAMED},
    {"USgal", "US gal", "US gallon", "US gallons", BL_UNIT_NAMED | BL_UNIT_SCALED},
    {"USoz", "US fl oz", "US fluid ounce", "US fluid ounces", BL_UNIT_NAMED},
    {"USpt", "US pt", "US pint", "US pints", BL_UNIT_NAMED},
    {"USqt", "US qt", "US quart", "US quarts", BL_UNIT_NAMED},
    {"a", "a", "year", "years", 0},
    {"acre", NULL, "acre", "acres", BL_UNIT_NAMED},
    {"acre-foot", "acre⋅ft", "acre-foot", "acre-feet", BL_UNIT_NAMED},
    {"acre-ft", "acre⋅ft", "acre-foot", "acre-feet", BL_UNIT_NAMED},
    {"acre.ft", "acre⋅ft", "acre-foot", "acre-feet", BL_UNIT_NAMED},
    {"acreft", "acre⋅ft", "acre-foot", "acre-feet", BL_UNIT_NAMED},
    {"acre·ft", "acre⋅ft", "acre-foot", "acre-feet", BL_UNIT_NAMED},
    {"arcmin", "′", "arcminute", "arcminutes", BL_UNIT_NAMED},
    {"arcsec", "″", "arcsecond", "arcseconds", BL_UNIT_NAMED},
    {"bbl", "bbl", "barrel", "barrels", BL_UNIT_NAMED | BL_UNIT_SCALED},
    {"carat", NULL, "carat", "carats", BL_UNIT_NAMED},
    {"cc", "cc", "cubic centimetre", "cubic centimetres", 0},
    {"ch", "ch", "chain", "chains", BL_UNIT_NAMED},
    {"chain", "chains", "chain", "chains", BL_UNIT_NAMED},
    {"cm2", "cm²", "square centimetre", "square centimetres", 0},
    {"cm3", "cm³", "cubic centimetre", "cubic centimetres", 0},
    {"cufoot", "cu ft", "cubic foot", "cubic foot", BL_UNIT_NAMED | BL_UNIT_SCALED},
    {"cuft", "cu ft", "cubic foot", "cubic feet", BL_UNIT_SCALED},
    {"cuin", "cu in", "cubic inch", "cubic inches", 0},
    {"cumi", "cu mi", "cubic mile", "cubic miles", 0},
    {"cuyd", "cu yd", "cubic yard", "cubic yards", BL_UNIT_SCALED},
    {"cwt", "cwt", "hundredweight", "hundredweight", 0},
    {"cwtlong", "long cwt", "long hundredweight", "long hundredweight", BL_UNIT_NAMED},
    {"d", "d", "day", "days", 0},
    {"day", "d", "day", "days", 0},
    {"deg", "°", "degree", "degrees", BL_UNIT_NAMED},
    {"drop", NULL, "drop", "drops", BL_UNIT_NAMED},
    {"dunam", NULL, "dunam", "dunams", BL_UNIT_NAMED},
    {"fathom", NULL, "fathom", "fathoms", BL_UNIT_NAMED},
    {"foot", "ft", "foot", "foot", BL_UNIT_NAMED},
    {"ft", "ft", "foot", "feet", 0},
    {"ft2", "sq ft", "square foot", "square feet", 0},
    {"ft3", "cu ft", "cubic foot", "cubic feet", 0},
    {"ftlb", "ft⋅lbf", "foot-pound", "foot-pounds", BL_UNIT_NAMED},
    {"ftlb-f", "ft⋅lbf", "foot-pound force", "foot-pounds force", BL_UNIT_NAMED},
    {"ftlbf", "ft⋅lbf", "foot-pound force", "foot-pounds force", BL_UNIT_NAMED},
    {"fur", "fur", "furlong", "furlongs", BL_UNIT_NAMED},
    {"furlong", "fur", "furlong", "furlongs", BL_UNIT_NAMED},
    {"g", "g", "gram", "grams", 0},
    {"g-force", "g", "g", "g", 0},
    {"g0", "g", "g", "g", 0},
    {"gal", "gal", "gallon", "gallons", BL_UNIT_NAMED},
    {"h", "h", "hour", "hours", 0},
    {"ha", "ha", "hectare", "hectares", 0},
    {"hand", "hands", "hand", "hands", BL_UNIT_NAMED},
    {"impbbl", "imp bbl", "imperial barrel", "imperial barrels", BL_UNIT_NAMED},
    {"impfloz", "imp fl oz", "imperial fluid ounce", "imperial fluid ounces", BL_UNIT_NAMED},
    {"impgal", "imp gal", "imperial gallon", "imperial gallons", BL_UNIT_NAMED | BL_UNIT_SCALED},
    {"imppt", "imp pt", "imperial pint", "imperial pints", BL_UNIT_NAMED},
    {"in", "in", "inch", "inches", 0},
    {"in2", "sq in", "square inch", "square inches", 0},
    {"in3", "cu in", "cubic inch", "cubic inches", 0},
    {"inHg", "inHg", "inch of mercury", "inches of mercury", 0},
    {"kWh", "kWh", "kilowatt-hour", "kilowatt-hours", 0},
    {"kg", "kg", "kilogram", "kilograms", 0},
    {"km", "km", "kilometre", "kilometres", 0},
    {"km2", "km²", "square kilometre", "square kilometres", 0},
    {"km3", "km³", "cubic kilometre", "cubic kilometres", 0},
    {"kn", "kn", "knot", "knots", BL_UNIT_NAMED},
    {"knot", "kn", "knot", "knots", BL_UNIT_NAMED},
    {"l", "L", "litre", "litres", 0},
    {"lb", "lb", "pound", "pounds", 0},
    {"lb-f", "lbf", "pound-force", "pounds-force", BL_UNIT_NAMED},
    {"lb-t", "lb t", "troy pound", "troy pounds", BL_UNIT_NAMED},
    {"lbf", "lbf", "pound-force", "pounds-force", BL_UNIT_NAMED},
    {"lbs", "lb", "pound", "pounds", 0},
    {"league", NULL, "league", "leagues", BL_UNIT_NAMED},
    {"long ton", "long tons", "long ton", "long tons", BL_UNIT_NAMED},
    {"ly", "ly", "light-year", "light-years", BL_UNIT_NAMED},
    {"m", "m", "metre", "metres", 0},
    {"m2", "m²", "square metre", "square metres", 0},
    {"m3", "m³", "cubic metre", "cubic metres", 0},
    {"metric ton", "t", "metric ton", "metric tons", BL_UNIT_NAMED},
    {"mi", "mi", "mile", "miles", 0},
    {"mi2", "sq mi", "square mile", "square miles", 0},
    {"mi3", "cu mi", "cubic mile", "cubic miles", 0},
    {"mile", "mi", "mile", "mile", BL_UNIT_NAMED},
    {"min", "min", "minute", "minutes", 0},
    {"ml", "mL", "millilitre", "millilitres", 0},
    {"mm2", "mm²", "square millimetre", "square millimetres", 0},
    {"mm3", "mm³", "cubic millimetre", "cubic millimetres", 0},
    {"mo", "mo", "month", "months", 0},
    {"month", "mo", "month", "months", 0},
    {"mpgUS", "mpg‑US", "mile per US gallon", "miles per US gallon", 0},
    {"mpgimp", "mpg‑imp", "mile per imperial gallon", "miles per imperial gallon", 0},
    {"mpgus", "mpg‑US", "mile per US gallon", "miles per US gallon", 0},
    {"nmi", "nmi", "nautical mile", "nautical miles", BL_UNIT_NAMED},
    {"oilbbl", "bbl", "barrel", "barrels", BL_UNIT_NAMED | BL_UNIT_SCALED},
    {"ozt", "ozt", "troy ounce", "troy ounces", BL_UNIT_NAMED},
    {"pc", "pc", "parsec", "parsecs", BL_UNIT_NAMED},
    {"perch", NULL, "perch", "perches", BL_UNIT_NAMED},
    {"psi", "psi", "pound per square inch", "pounds per square inch", 0},
    {"rod", NULL, "rod", "rods", BL_UNIT_NAMED},
    {"s", "s", "second", "seconds", 0},
    {"short ton", "short tons", "short ton", "short tons", BL_UNIT_NAMED},
    {"shtn", "short tons", "short ton", "short tons", BL_UNIT_NAMED},
    {"smi", "mi", "statute mile", "statute miles", BL_UNIT_NAMED},
    {"sqcm", "cm²", "square centimetre", "square centimetres", 0},
    {"sqfoot", "sq ft", "square foot", "square foot", BL_UNIT_NAMED},
    {"sqft", "sq ft", "square foot", "square feet", 0},
    {"sqin", "sq in", "square inch", "square inches", 0},
    {"sqkm", "km²", "square kilometre", "square kilometres", 0},
    {"sqm", "m²", "square metre", "square metres", 0},
    {"sqmi", "sq mi", "square mile", "square miles", 0},
    {"sqnmi", "sq nmi", "square nautical mile", "square nautical miles", BL_UNIT_NAMED},
    {"sqyd", "sq yd", "square yard", "square yards", 0},
    {"st", "st", "stone", "stone", 0},
    {"statmi", "mi", "statute mile", "statute miles", BL_UNIT_NAMED},
    {"stone", "st", "stone", "stone", BL_UNIT_NAMED},
    {"t", "t", "tonne", "tonnes", 0},
    {"ton", "tons", "ton", "tons", BL_UNIT_NAMED},
    {"tonne", "t", "tonne", "tonnes", BL_UNIT_NAMED},
    {"troy pound", "lb t", "troy pound", "troy pounds", BL_UNIT_NAMED},
    {"usgal", "US gal", "US gallon", "US gallons", BL_UNIT_NAMED},
    {"week", "wk", "week", "weeks", 0},
    {"wk", "wk", "week", "weeks", 0},
    {"yd", "yd", "yard", "yards", 0},
    {"yd2", "sq yd", "square yard", "square yards", 0},
    {"yd3", "cu yd", "cubic yard", "cubic yards", 0},
    {"year", "yr", "year", "years", 0},
    {"yr", "yr", "year", "years", 0},
    {"°", "°", "degree", "degrees", 0},
    {"°C", "°C", "degree Celsius", "degrees Celsius", 0},
    {"°F", "°F", "degree Fahrenheit", "degrees Fahrenheit", 0},
};

const bl_unit *bl_unit_find(const char *code, size_t length) {
    size_t low = 0, high = sizeof units / sizeof *units;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = bl_wiki_compare(units[middle].code, code, length);
        if (order == 0) return &units[middle];
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

bool bl_unit_divides(const char *large, size_t large_length, const char *small, size_t small_length) {
    static const char *const pairs[] = {
        "mi yd",      "mi ft",   "mi chain", "mi ch", "mi furlong", "mi fur",    "yd ft",      "yd in",      "ft in",
        "foot in",    "st lb",   "stone lb", "lb oz", "LT cwt",     "LT st",     "LT lb",      "ST lb",      "cwt lb",
        "cwtlong lb", "hand in", "chain lk", "ch lk", "furlong ch", "fathom ft", "acre perch", "deg arcmin", "ha m2",
        "ft impin",   "lbs oz",  "t kg",     "kg g",  "km m",       "m cm"};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *gap = strchr(pairs[i], ' ');
        if ((size_t) (gap - pairs[i]) == large_length && memcmp(pairs[i], large, large_length) == 0 &&
            strlen(gap + 1) == small_length && memcmp(gap + 1, small, small_length) == 0)
            return true;
    }
    return false;
}
