--- What a full stop means besides the end of a sentence, by language: what ICU's own lists leave out.
--
-- Fields of a language, each a set of words without their last full stop; case matters:
--
--     titles    a name or number follows: never the end of a sentence
--     words     the end only if one of `starters` follows
--     numbered  not the end if a number follows
--     units     the end, unless they stand before a name: "1837 г. Потом", but "г. Москва"
--     final     the end if a capital letter follows, though the last part alone would be in another set: "т. д"
--     starters  words, written with a capital, with which sentences begin and names don't
--
-- and `ordinals`: whether "3." means "third"; `low_quotes`: whether “ closes a quotation, as in „so“; `eras`: what may
-- follow a numbered word instead of a number; `streets`: a pattern of words that are like numbered ones.
-- @module bertlua.text.abbreviations

local function set(words)
    local list = {}
    -- "z._B" is "z. B", written with or without the space.
    for word in words:gmatch "%S+" do
        list[(word:gsub("_", " "))] = true
        list[(word:gsub("_", ""))] = true
    end
    return list
end

local languages = {}

languages.en = {
    titles = set [[Dr St Gov Gen Sen Rep Lt Col Sgt Cpl Pvt Rev Hon Capt Cmdr Adm Maj Messrs Mr Mrs Ms Mt Ft Prof
        Pres Supt Fr Br Msgr Ste Amb Atty Insp vs cf viz approx]],
    words = set [[Sr Dist ca pp fig figs vol vols ed eds ch sec eq etc al Jan Feb Apr Aug Sept Oct Nov Dec Ave Blvd
        Rd Bros]],
    numbered = set "c b d r m p v fl no No nos Nos Fig Figs Vol Vols Ch Sec Eq Pt pt Art ll Op op n Mar",
    -- {{circa}} writes "c."; what follows may be the era.
    eras = set "AD BC BCE CE AH",
    starters = set [[The It In He She They This That These Those There His Her Their Its But However After When
        While Although As At On For From By With Since Some Many Most During Both Each Such According]],
}
languages.de = {
    ordinals = true, low_quotes = true, streets = "str$",
    titles = set [[Dr Prof Hr Hrn Fr St Frl Dipl Ing Mag Gebr bzw ca vgl evtl ggf inkl exkl einschl Nr Nrn Bd Bde
        sog Abb Tab z d h b i o s geb gest röm lat griech engl frz franz ital span russ dt Abs Anm Kap Vgl Aufl mind
        max min bes insb urspr ehem phil med jur rer nat Hl hl gegr verh rd z._B d._h i._d._R u._a o._g]],
    words = set "Jh Jhdt Jhd Chr S v n a ä u Hrsg Tel Str Mio Mrd Tsd Std Sek Sp Univ Inst Bez Kr Lkr Einw u._ä o._ä",
    units = set "m Min Std Sek",
    final = set "u._s._w u._a._m m._E",
    numbered = set "Art Abt Jan Feb Mär Apr Aug Sept Okt Nov Dez",
    starters = set [[Der Die Das Den Dem Des Ein Eine Einen Einem Einer Er Sie Es Wir Ihr Ihre Ihren Sein Seine
        Seinen Dies Diese Dieser Dieses Diesem Diesen In Im Am An Auf Aus Bei Beim Bis Da Dabei Dadurch Daher Damit
        Danach Dann Darauf Dazu Dort Durch Für Gegen Hier Mit Nach Nachdem Neben Ob Obwohl Seit So Trotz Über Um Und
        Unter Viele Vom Von Vor Während Wegen Weil Wenn Wie Zu Zum Zur Zwischen Zudem Zunächst Später Auch Als
        Allerdings Aber Doch Jedoch Jede Jeder Jedes Kein Keine Man Nur Oft Heute Insgesamt Ihm Ihn Was Wer Wo Alle
        Andere Anschließend Außerdem Ab Ohne]],
}
languages.fr = {
    titles = set [[prof Prof M MM Mme Mmes Mlle Mlles Mgr Dr Pr Me St Ste av apr env cf Cf fig p pp éd Ch Th Ph Chr
        Cl Jr r bd boul pl p._ex c.-à-d lat gr angl esp al]],
    words = set "janv févr avr juil sept oct nov déc J.-C apr._J.-C av._J.-C",
    numbered = set "n no nos no. t tél ch hab art vol chap",
    starters = set [[Le La Les L Un Une Des Il Elle Ils Elles On Ce Cette Ces C Son Sa Ses Leur Leurs Dans En Au Aux
        À Après Avant Avec Pour Par Sur Sous Lors Mais Puis Depuis Pendant Cependant Toutefois Selon Si Comme Quand]],
}
languages.es = {
    titles = set [[sr sra srta dr dra prof profa Sr Sra Sres Sras Srta Srtas Dr Dra Dres Prof Profa D Dña Dª St Sto
        Sta Gral Gob Cap Cnel Tte Sgto Lic Ing Arq Ud Uds Vd Vds pág págs núm vol ed cap fig figs art arts p pp
        aprox Mons Fr Excmo Ilmo Av Avda c tel ej p._ej EE FF RR CC c/ cf ss op lat]],
    words = set "a d C J a._C d._C",
    numbered = set "n no nº",
    starters = set [[El La Los Las Lo Un Una Unos Unas Él Ella Ellos Ellas Esto Este Esta Estos Estas Ese Esa Su Sus
        En Al Del De Por Para Con Sin Según Tras Desde Cuando Durante Después Antes Pero Aunque También Además Entre
        Como Se No Hay]],
}
languages.it = {
    titles = set [[Sig Sigg Dott Dr Prof Ing Avv On on Gen Cap Col Ten Mons Geom Arch Rag Card Cav Comm pag pagg vol
        voll cap capp fig figg art artt ed ca p pp cfr Cfr es ad_es S SS St n nn tel v dr prof sig par lat fr]],
    words = set "a d C a._C d._C",
    starters = set [[Il Lo La I Gli Le L Un Una Uno Egli Ella Essi Esso Essa Questo Questa Questi Queste Suo Sua Nel
        Nella Nei Nelle Al Alla Dal Dalla Del Della Dopo Prima Con Per Da Di In Su Secondo Tra Fra Durante Quando
        Anche Inoltre Ma Tuttavia Si Non È]],
}
languages.pt = {
    titles = set [[sr sra dr dra prof profa eng Sr Sra Srs Sras Srta Dr Dra Drs Prof Profa Prof.ª Eng Engª Gen Cap
        Cel Ten Sto Sta São pág págs vol vols ed fig figs art arts núm aprox p pp ex p._ex Av R Exmo Exma Ilmo D
        Mons Pe Fr tel cf cap caps lat]],
    words = set "a d C a._C d._C",
    numbered = set "n no nº",
    starters = set [[O A Os As Um Uma Ele Ela Eles Elas Este Esta Estes Estas Esse Essa Isso Isto Seu Sua Seus Suas
        Em No Na Nos Nas Ao Aos À Do Da De Por Para Com Sem Segundo Após Antes Depois Durante Quando Mas Embora
        Também Além Entre Como Não Há]],
}
languages.nl = {
    titles = set [[Dr Prof Ir Ing Drs Mr Mw Mevr Dhr St bijv bv ca evt nr nrs blz vgl zgn o a d w z m i v t o._a
        d._w._z m._a._w resp incl excl ong plm afb fig hoofdst dr prof ir mevr dhr ds jl jr]],
    words = set "Chr v._Chr n._Chr jan feb mrt apr aug sept okt nov dec",
    numbered = set "art",
    starters = set [[De Het Een Hij Zij Ze Er Dit Dat Deze Die In Op Na Met Voor Van Bij Door Om Uit Tot Toen Ook
        Maar Zijn Haar Hun Dan Daarna Hierna Volgens Tijdens Vanaf Sinds]],
}
languages.ru = {
    titles = set [[ул просп пр-т пл бул наб ш стр рис табл гл проф акад доц св оз гр тов см См ср Ср напр корп кв
        тел лат англ нем фр франц греч итал исп рус укр польск араб яп евр чеш швед изд ред сост вып ст п пос дер
        дир зам о арх худ инж деп прибл ок Дж т._е т._н т._к т._о соч авт комп слав устар разг мн ед Св Ст Пер]],
    units = set "г гг в вв р руб коп тыс млн млрд трлн км м см мм кг га л т чел экз мин сек ч д с обл н э",
    final = set "т._д т._п н._э и_др и_пр т._ч",
    words = set "им ген бел муз пер",
    numbered = set "род ум кит т",
    starters = set [[В Во Он Она Оно Они Это Этот Эта На По С Со И А Но Из При Для После До Также Однако Его Её Их К
        Как Когда Если Поэтому Затем Потом За От О Об У Был Была Были Было Все Всё Там Здесь Тогда Позже Более]],
}
languages.uk = {
    titles = set [[вул просп пл бул наб ім стор рис табл гл проф акад доц св Св оз Див напр корп кв тел лат англ нім
        фр рос польськ укр грец нар пом вид ред упоряд вип ст п т._зв т._з Дж Ч Ш Щ]],
    units = set "р рр ст грн коп тис млн млрд км м см мм кг га л т осіб хв сек год обл с г н е ін",
    final = set "т._д т._п н._е та_ін і_т._д",
    words = set "ген див пор о а",
    numbered = set "т",
    starters = set [[В У Він Вона Воно Вони Це Цей Ця На По З Із Зі І Й Та А Але При Для Після До Також Однак Проте
        Його Її Їх К Як Коли Якщо Тому Потім За Від О Про Був Була Були Було Усі Всі Там Тут Тоді Згодом]],
}
languages.be = {
    titles = set "вул пр-т пл ім стар рыс табл праф акад Гл параўн напр лац англ руск польск нар пам св Св гл",
    units = set "г гг ст стст р руб тыс млн млрд км м см кг га чал в",
    final = set "г._д н._э і_інш",
    starters = set "У Ў Ён Яна Яно Яны Гэта На Па З Са І Але А Пры Для Пасля Да Таксама Аднак Яго Яе Іх Калі За Ад",
}
languages.bg = {
    low_quotes = true,
    titles = set "ул бул пл им стр фиг табл гл проф акад доц св Св д-р инж полк г-н г-жа вж Вж напр лат англ нем фр",
    units = set "г гг в вв лв ст хил млн млрд км м см мм кг ха др р с",
    final = set "т._н и_др пр._н._е сл._н._е н._е",
    words = set "ген",
    starters = set [[В Във Той Тя То Те Това Този Тази На По С Със И Но А При За След До Също Обаче Неговият Когато
        От]],
}
languages.pl = {
    ordinals = true,
    titles = set [[ul pl al os prof dr hab mgr inż św Św np tzw tzn tj ks bp abp kard płk mjr kpt ppłk marsz adm s
        str tab rozdz zob Zob wg ok m in m._in ang łac niem fr gr ros ur zm red wyd tłum oprac nr art pkt pt pn
        pseud Cz Ch Sz Rz hr ds ww]],
    units = set "r w ww zł gr tys mln mld godz min sek km m cm kg ha n._e p._n._e",
    final = set "n._e p._n._e r._ż",
    words = set "im gen por Por",
    numbered = set "ust rys t",
    starters = set [[W We Na Po Od Do Z Ze Za Przy Przez On Ona Ono Oni One To Ten Ta Te Jego Jej Ich Jest Był Była
        Było Były Następnie Później Potem Gdy Kiedy Jednak Ale Oraz Dla Nie Podczas Obecnie Według]],
}
languages.cs = {
    ordinals = true, low_quotes = true,
    titles = set [[ul nám tř prof doc Ing Mgr Bc MUDr JUDr PhDr RNDr Dr dr sv Sv např tzv tzn tj resp cca č čís str
        srov viz plk mjr kpt angl lat něm fr řec rus pol slov nar zemř red vyd překl odst písm p pí r kn hl mj Ch]],
    units = set "stol st hod min tis mil mld Kč km m cm kg ha",
    final = set "n._l př._n._l",
    words = set "gen",
    numbered = set "kap obr tab",
    starters = set [[V Ve Na Po Od Do Z Ze Za Při On Ona Ono Oni To Ten Ta Te Jeho Její Jejich Je Byl Byla Bylo Byly
        Potom Poté Později Když Však Ale Pro Podle Během Dnes Tato Tento Toto Se S K U O]],
}
languages.sk = {
    ordinals = true, low_quotes = true,
    titles = set [[ul nám prof doc Ing Mgr Bc MUDr JUDr PhDr RNDr Dr dr sv Sv napr tzv tzn tj resp cca č str porov
        pozri plk angl lat nem fr gréc rus nar zomr vyd]],
    units = set "stor st hod min tis mil mld Sk km m cm kg ha l",
    final = set "n._l pred_n._l",
    words = set "gen",
    numbered = set "kap obr tab",
    starters = set [[V Vo Na Po Od Do Z Zo Za Pri On Ona Ono Oni To Ten Tá Jeho Jej Ich Je Bol Bola Bolo Boli Potom
        Neskôr Keď Však Ale Pre Podľa Počas Dnes Táto Tento Toto S K U O]],
}
languages.hu = {
    ordinals = true,
    titles = set "dr Dr ifj id özv Szt Sz pl Pl ún Ún vö Vö ill kb Kb ld Ld gr br prof sz Gy Cs Zs Ny Ty Ly",
    units = set "u k du de kör",
    final = set "i._e i._sz Kr._e Kr._u i._u",
    numbered = set "old",
    starters = set [[A Az Egy Ez Ezt Ezek Azok Ő Ők De És Majd Ekkor Ezután Később Mivel Bár Nem Csak Amikor Mert
        Itt Ott Ha Így Még Már Azonban Ennek Mint]],
}
languages.tr = {
    ordinals = true,
    titles = set [[Dr Prof Doç Yrd Av Müh Mim Gen Alb Yzb Hz St Mah Cad Sok Apt No s sf bkz Bkz çev vd örn Alm İng
        Fr Lat]],
    units = set "yy",
    final = set "M._Ö M._S",
    starters = set [[Bu Şu O Onun Onlar Ve Ancak Fakat Daha Sonra Bir Bunun Burada Ayrıca Ama Çünkü Böylece Ardından
        Aynı İlk Her Kendisi Ben Biz]],
}
languages.fi = {
    ordinals = true,
    titles = set "prof tri St mm ks Ks esim ns em ko nk vrt Vrt ent toim suom s t toht noin kpl puh huom",
    units = set "mrk milj mrd klo eaa jaa eKr jKr",
    numbered = set "v n s",
    starters = set [[Hän He Se Ne Tämä Nämä Sen Hänen Heidän Kun Jos Mutta Ja Myös Siellä Sitten Myöhemmin Tuolloin
        Vuonna Vuoden Ennen Jälkeen Lisäksi Kuitenkin Koska On Oli Ei]],
}
languages.da = {
    ordinals = true,
    titles = set [[Dr dr prof Prof hr frk St Skt kgl bl eks bl._a f._eks ca d v s d._v._s evt hhv inkl ekskl jf Jf
        kap nr Nr p pga sml såk vedr tlf fr gr]],
    units = set "m mv mio mia kr kl Kr e f",
    final = set "m._m m._v o._l",
    numbered = set "jan feb mar apr aug sept okt nov dec",
    starters = set [[Den Det De Han Hun Der Dette Denne Disse En Et I På Efter Da Fra Med Men Og Som Så Siden Ved
        Til Hans Hendes Deres Under Om Før For Når Hvis]],
}
languages.nb = {
    ordinals = true,
    titles = set [[Dr dr prof Prof hr St bl eks bl._a f._eks ca dvs evt hhv inkl ekskl jf Jf kap nr Nr p pga s ss
        tlf fr gr]],
    units = set "m mv mill mrd kr kl Kr e f",
    final = set "m._m o._l",
    numbered = set "jan feb mar apr aug sept okt nov des",
    starters = set [[Den Det De Han Hun Der Dette Denne Disse En Et Ei I På Etter Da Fra Med Men Og Som Så Siden Ved
        Til Hans Hennes Deres Under Om Før For Når Hvis]],
}
languages.sv = {
    titles = set [[Dr dr prof Prof St S:t bl a t ex bl._a t._ex ca d v s d._v._s dvs ev f f._d inkl exkl jfr Jfr nr
        Nr p sid tel fr gr kl resp m._fl]],
    units = set "m mm milj mdr kr Kr e f fl",
    final = set "m._m m._fl e._d",
    numbered = set "kap jan feb mar apr aug sept okt nov dec",
    starters = set [[Den Det De Han Hon Där Detta Denna Dessa En Ett I På Efter Då Från Med Men Och Som Så Sedan Vid
        Till Hans Hennes Deras Under Om Före För När]],
}
languages.et = {
    ordinals = true, low_quotes = true,
    titles = set "dr prof nr lk vt Vt nn nt näit st sh ca u s tn pst mnt",
    units = set "kr a m",
    numbered = set "jaan veebr apr aug sept okt nov dets",
    starters = set "Ta Tema See Need Ning Kuid Aga Ka Siis Pärast Hiljem Kui Aastal Selle Seal Enne Nad On Oli Ei",
}
languages.lv = {
    ordinals = true, low_quotes = true,
    titles = set "dr prof nr lpp sk Sk piem t s t._s t._i Sv sv u c ap",
    units = set "g gs m",
    final = set "u._c p._m._ē",
    numbered = set "jan feb apr aug sept okt nov dec",
    starters = set [[Viņš Viņa Viņi Tas Tā Tie Šis Šī No Pēc Ar Bet Un Kad Ja Pie Uz Par Kopš Pirms Arī Tomēr Tad
        Bija Ir]],
}
languages.lt = {
    low_quotes = true,
    titles = set [[dr prof doc nr psl p pvz vad žr Žr plg lot angl vok pranc rus lenk g gim m mėn d Šv šv a tel kun
        vysk]],
    units = set "tūkst mln mlrd Lt eur km",
    final = set "ir_kt ir_pan pr._Kr m._e",
    starters = set [[Jis Ji Jie Jos Tai Tas Ta Šis Ši Po Su Bet Ir Kai Jei Prie Nuo Iki Vėliau Tačiau Tada Buvo Yra
        Per]],
}
languages.sr = {
    ordinals = true, low_quotes = true,
    titles = set [[dr Dr prof Prof ul sv Sv tzv npr Npr tj br str sl gl inž akad mr god ing izd prev eng lat njem
        nem fr др Др проф Проф ул св Св тзв нпр Нпр тј бр стр сл гл инж акад мр год енгл лат нем фр]],
    units = set "din km m kg ha v st hilj mil mlrd дин км м кг ха в ст хиљ мил",
    final = set "n._e p._n._e pr._Kr н._е п._н._е",
    words = set "gen ген",
    numbered = set "tab таб",
    starters = set [[U On Ona Ono Oni One To Taj Ta Ovo Ovaj Ova Na Po Od Do Iz Sa Za Pri I A Ali Kad Kada Nakon
        Posle Poslije Tada Njegov Njegova Međutim Bio Bila Je Prema Kao У Он Она Оно Они То Тај Та Ово Овај Ова На
        По Од До Из Са За При И А Али Кад Када Након После Тада Његов Његова Међутим Био Била Је Према Као]],
}
languages.ro = {
    titles = set "dl dna Dr dr prof Prof str Str bd nr pag p vol fig de_ex cca Sf ing av dvs lat engl fr",
    units = set "lei",
    words = set "Hr d._Hr î._Hr",
    numbered = set "cap art",
    starters = set [[El Ea Ei Ele În La De Din Pe Cu Un O Acest Această Acesta Aceasta După Dar Iar Și Apoi Când
        Pentru Prin Dacă Nu Este]],
}
languages.ca = {
    titles = set [[sr sra dr dra prof Sr Sra Dr Dra Prof St Sta Sts pàg pàgs núm fig p pp p._ex aprox av Av Mn Gral
        tel cf]],
    words = set "a d C aC dC a._C d._C",
    numbered = set "cap art vol",
    starters = set [[El La Els Les L Un Una Ell Ella Aquest Aquesta En Al Del De Per Amb Segons Després Durant Quan
        Però També]],
}
languages.el = {
    titles = set [[κ κα κος Δρ δρ καθ αγ Αγ π χ αρ σελ σ τ βλ Βλ πρβλ λ λεωφ οδ τηλ περ δηλ κεφ εικ πίν Ι Αγγλ αγγλ
        γαλ λατ]],
    units = set "χλμ μ εκ",
    final = set "π._Χ μ._Χ κ._ά κ._λπ",
    starters = set [[Ο Η Το Οι Τα Τον Την Στο Στη Στην Στις Από Με Για Και Αλλά Όταν Μετά Αυτός Αυτή Αυτό Ένας Μία
        Ένα Ήταν Είναι Δεν]],
}
languages.is = {
    ordinals = true, low_quotes = true,
    titles = set "dr Dr prof nr bls t d t._d þ._e m._a u._þ._b sbr Sbr kl f",
    units = set "kr km m",
    final = set "o._fl f._Kr e._Kr",
    numbered = set "jan feb mars apr ágú sept okt nóv des",
    starters = set "Hann Hún Það Þeir Þær Þau Þetta Þessi Í Á Eftir Þegar En Og Við Með Frá Til Síðan Þá Árið",
}
languages.sl = {
    ordinals = true, low_quotes = true,
    titles = set "dr Dr prof ul sv Sv npr Npr tj oz št str sl gl ing inž lat angl nem fr t._i t._im",
    units = set "itd ipd din km m kg ha tis mio st",
    final = set "n._št pr._n._št pr._Kr",
    words = set "gen mag",
    starters = set [[V Na Po Od Do Iz Z S Za Pri On Ona Ono Oni To Ta Ter In A Ampak Ko Nato Potem Kasneje Njegov
        Njegova Je Bil Bila]],
}
languages.eu = { ordinals = true, titles = set "or orr zk adib Adib ik Ik" }
languages.id = {
    titles = set "dr Dr Prof Ir Drs Dra H Hj KH Jl Jend Kol Kapt Tn Ny Sdr No hlm tgl tel St a.n s.d",
    numbered = set "hal",
    starters = set [[Ia Dia Mereka Ini Itu Pada Di Dari Untuk Dengan Dan Tetapi Namun Setelah Ketika Kemudian Karena
        Sebuah]],
}
languages.vi = {
    titles = set "TS Ts PGS GS ThS BS KS Tp TP Q P Tr tr ĐH Th St Mr",
    starters = set "Ông Bà Anh Chị Năm Trong Ngày Sau Khi Tại Đây Đó Các Những Theo Với Từ Nhưng Và Tuy",
}
-- Scripts without case: the words for Dr. and Prof., and the like; eras and units stand behind a number.
languages.ar = { titles = set "د أ ص ج ت أ.د م. ط ق", units = set "م هـ ه ق.م كم سم كغ" }
languages.fa = { titles = set "دکتر مهندس د ص ج ت ر.ک", units = set "م ه ق.م ش" }
languages.ur = { titles = set "ڈاکٹر پروفیسر ص ج" }
languages.he = { titles = set "ד פרופ עמ מס רח גב ר א ב", units = set "ס מ" }
languages.hi = { titles = set "डॉ डा प्रो पं श्री स्व सं पृ क्र रु कि मी ई पू ई._पू एस एम आर के जी बी पी सी टी" }
languages.mr = { titles = set "डॉ प्रा श्री सौ स्व पृ क्र रु कि मी इ स इ._स पू" }
languages.bn = { titles = set "ডা ড মো মোঃ প্রফেসর অধ্যা পৃ খ্রি রা" }
languages.ka = {
    low_quotes = true,
    titles = set "ქ წმ ე ა პროფ აკად იხ გვ მაგ ე._ი",
    units = set "წ სს ს კმ მ",
}
languages.ko = {}
languages.ja = {}
languages.zh = {}
languages.th = {
    titles = set "ดร พ ศ ค น ส ม ร ว ล จ อ ต รศ ผศ พล พ._ศ ค._ศ ร._ศ เม._ย มี._ค ก._พ",
    units = set "กม ซม กก",
}

-- Languages that write as another does.
for code, as in pairs { hr = "sr", bs = "sr", sh = "sr", no = "nb", nn = "nb", fo = "da", lb = "de", gsw = "de",
    als = "de", bar = "de", nds = "de", hsb = "cs", dsb = "cs", simple = "en", sco = "en", gl = "pt", ast = "es",
    an = "es", oc = "fr", li = "nl", fy = "nl", af = "nl", ms = "id", jv = "id", su = "id", mk = "bg", szl = "pl",
    csb = "pl", ne = "hi", sa = "hi", as = "bn", yi = "he", ps = "fa", ckb = "fa", la = "it", scn = "it", vec = "it",
    lmo = "it", mo = "ro", yue = "zh", wuu = "zh", lo = "th" } do
    languages[code] = languages[as]
end

return languages
