--- Abbreviations after which a full stop does not end a sentence, by language:
-- what ICU's own lists leave out. Case matters.
-- @module bertlua.corpus.abbreviations

local function set(words)
    local list = {}
    for word in words:gmatch "%S+" do list[word] = true end
    return list
end

return {
    -- Titles before a name, and abbreviations used before a number or within a reference.
    en = set [[Dr St Gov Gen Sen Rep Lt Col Sgt Cpl Pvt Rev Hon Capt Cmdr Adm Maj Messrs Mr Mrs Ms Mt Ft Prof Pres Supt
        Fr Br Msgr Sr Ste Amb Atty Dist Insp vs cf viz approx ca pp fig figs vol vols ed eds ch sec eq etc al
        Jan Feb Apr Aug Sept Oct Nov Dec Ave Blvd Rd Bros]],
    de = set [[Dr Prof Hr Fr St bzw ca vgl evtl ggf inkl exkl Nr Bd S Abb Tab Jh Jhdt geb gest röm lat griech engl frz
        sog usw etc u z B d h i a o ä Abs Art Aufl Hrsg Jan Feb Mär Apr Aug Sept Okt Nov Dez]],
    fr = set [[M MM Mme Mlle Mgr Dr Pr St Ste av apr env cf fig p pp vol éd art chap janv févr avr juil sept oct
        nov déc]],
    es = set [[Sr Sra Srta Sres Dr Dra Prof D Dña St Sto Sta Gral Cap Lic Ing Ud Uds pág págs núm vol ed cap fig art
        p pp aprox]],
    it = set [[Sig Sigg Dott Prof Ing Avv On Gen Cap pag pagg vol cap fig art ed ecc ca es p pp]],
    pt = set [[Sr Sra Srs Dr Dra Prof Eng Gen Cap pág págs vol ed fig art núm aprox]],
    nl = set [[Dr Prof Ir Ing Drs Mr St bijv bv ca enz evt nr o a blz vgl zgn]],
}
