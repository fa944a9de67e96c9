"""The words of SignSynth by their role in a sentence, the most useful first.

A word is English, `past tense after a slash`, and `its gloss after =` if that is not the word in capitals. Nouns
without plural begin with `~`.
"""

# In the order in which lexicons take them up; the twenty of `tiny` come before all else.
TINY = (
    "IX-1p", "IX-2p", "POSS-1p", "YESTERDAY", "TOMORROW", "WHAT", "WHO", "NOT", "MOTHER", "TEACH+AGENT", "ns-fs-ANNA", "DOG",
    "COFFEE", "#CAR", "BOOK", "BUY", "LIKE", "GO", "SCHOOL", "HAPPY",
)  # fmt: skip

WORDS: dict[str, str] = {
    "pronoun": "I=IX-1p,you=IX-2p,he=IX-3p,we=IX-1p-pl,they=IX-3p-pl",
    "possessive": "my=POSS-1p,your=POSS-2p,his=POSS-3p,our=POSS-1p-pl,their=POSS-3p-pl",
    "past": "yesterday,last week=LAST-WEEK,last year=LAST-YEAR,recently,two days ago=TWO-DAY-AGO,last night=LAST-NIGHT,"
    "long ago=LONG-AGO,last month=LAST-MONTH,last summer=PAST+SUMMER,last winter=PAST+WINTER,last Monday=PAST+MONDAY,"
    "an hour ago=ONE-HOUR-AGO,earlier,once,before=BEFORE_2",
    "future": "tomorrow,next week=NEXT-WEEK,next year=NEXT-YEAR,soon,later,tonight=NOW+NIGHT,next month=NEXT-MONTH,"
    "in two days=TWO-DAY-FUTURE,next summer=NEXT+SUMMER,next Friday=NEXT+FRIDAY,one day=SOMEDAY,after school=AFTER+SCHOOL,"
    "next weekend=NEXT+WEEKEND,in an hour=ONE-HOUR,next time=NEXT-TIME",
    "habit": "now,every day=EVERY-DAY,always,often,sometimes,usually,today=NOW+DAY,every morning=EVERY-MORNING,"
    "every week=EVERY-WEEK,on Sundays=EVERY-SUNDAY,on Saturdays=EVERY-SATURDAY,at noon=NOON,at night=NIGHT,"
    "in the afternoon=AFTERNOON,in the evening=EVENING,every year=EVERY-YEAR,in spring=SPRING_2,in autumn=AUTUMN,"
    "at midnight=MIDNIGHT,all day=ALL-DAY,all night=ALL-NIGHT,during lunch=DURING/WHILE,on Mondays=EVERY-MONDAY,"
    "on Tuesdays=EVERY-TUESDAY,on Wednesdays=EVERY-WEDNESDAY,on Thursdays=EVERY-THURSDAY,on Fridays=EVERY-FRIDAY,rarely,"
    "from time to time=ONCE-IN-A-WHILE,these days=RECENT+DAY",
    "wh_thing": "what,which,what kind of thing=#WHAT",
    "wh_person": "who",
    "wh_adverb": "where,when,why,how,how long=HOW-LONG,what for=FOR-FOR,how often=HOW-OFTEN",
    "negation": "not,never,not yet=NOT-YET",
    "question": "do=QMwg",
    "modal": "want/wanted,can/could,must/had to,like to/liked to=ENJOY_2,need to/needed to=NEED,try to/tried to=TRY,"
    "hope to/hoped to=HOPE,plan to/planned to=PLAN,forget to/forgot to=FORGET,start to/started to=START,"
    "refuse to/refused to=REFUSE,decide to/decided to=DECIDE,learn to/learned to=LEARN,prefer to/preferred to=PREFER,"
    "promise to/promised to=PROMISE,offer to/offered to=OFFER,expect to/expected to=EXPECT",
    "number": "two,three,four,five,six,seven,eight,nine,ten,many,eleven,twelve,several,twenty,fifteen,thirteen,fourteen,sixteen,"
    "seventeen,eighteen,nineteen,thirty,forty,fifty,sixty,a hundred=ONE-HUNDRED,a thousand=ONE-THOUSAND,a few=FEW,some,all,"
    "enough,more,both",
    "person": "mother,teacher=TEACH+AGENT,friend,father,sister,brother,student=LEARN+AGENT,boss,son,daughter,grandmother,"
    "grandfather,doctor,nurse,neighbor=NEAR+AGENT,cousin,aunt,uncle,wife,husband,lawyer=LAW+AGENT,actor=ACT+AGENT,"
    "driver=DRIVE+AGENT,manager=MANAGE+AGENT,farmer=FARM+AGENT,waiter=SERVE+AGENT,pilot=FLY+AGENT,artist=ART+AGENT,"
    "writer=WRITE+AGENT,singer=SING+AGENT,dancer=DANCE+AGENT,cook=COOK+AGENT,baker=BAKE+AGENT,player=PLAY+AGENT,"
    "interpreter=INTERPRET+AGENT,engineer=MEASURE+AGENT,dentist=TEETH+AGENT,scientist=SCIENCE+AGENT,"
    "librarian=LIBRARY+AGENT,counselor=COUNSEL+AGENT,principal,secretary,president,king,queen,prince,princess,police officer=POLICE,"
    "firefighter=FIREFIGHT+AGENT,soldier,thief,child,baby,boy,girl,man,woman,girlfriend,boyfriend,roommate=ROOM+FRIEND,"
    "classmate=CLASS+FRIEND,teammate=TEAM+FRIEND,niece,nephew,grandson,granddaughter,stepmother=SECOND+MOTHER,"
    "stepfather=SECOND+FATHER,twin,partner,guest,visitor=VISIT+AGENT,customer=BUY+AGENT,seller=SELL+AGENT,leader=LEAD+AGENT,"
    "coach,captain,champion,expert,stranger,enemy,clown,magician=MAGIC+AGENT,carpenter=WOOD+AGENT,plumber=PIPE+AGENT,"
    "mechanic=REPAIR+AGENT,barber=HAIRCUT+AGENT,tailor=SEW+AGENT,photographer=PHOTOGRAPH+AGENT,reporter=REPORT+AGENT,"
    "journalist=NEWSPAPER+AGENT,translator=TRANSLATE+AGENT,researcher=RESEARCH+AGENT,professor,veterinarian=#VET,detective,"
    "judge=JUDGE+AGENT,mayor,priest,pharmacist=MEDICINE+AGENT,psychologist=PSYCHOLOGY+AGENT,runner=RUN+AGENT,"
    "swimmer=SWIM+AGENT,skier=SKI+AGENT,hunter=HUNT+AGENT,fisherman=FISH+AGENT,gardener=GARDEN+AGENT,painter=PAINT+AGENT,"
    "tourist=TRAVEL+AGENT,immigrant=IMMIGRATE+AGENT,citizen,volunteer",
    "name": "Anna,John,Mary,Tom,Eva,Sam,Lucy,Ben,Kate,Max,Zoe,Paul,Rosa,Omar,Nina,Jack,Ivy,Leo,Maya,Hugo,Ruth,Alex,Lara,Felix,"
    "Vera,Otto,Wendy,Quinn,Jacob,Yusuf,Greta,Boris,Clara,Dylan,Emma,Frank,Helga,Irene,Jonas,Kevin,Linda,Mark,Nora,Oscar,"
    "Petra,Ralph,Sonya,Tina,Ursula,Victor,Walt,Xena,Yoko,Zack",
    "place": "school,home,store,library,hospital,bank=#BANK,park,office,church,restaurant,museum,airport,hotel,farm,beach,gym=#GYM,"
    "zoo=#ZOO,cafe,city,village,university,theater,post office=POST+OFFICE,train station=TRAIN+STATION,bus stop=#BUS+STOP,"
    "market,bakery=BREAD+STORE,pharmacy=MEDICINE+STORE,kitchen,garden,court,factory,harbor,island,mountain,forest,river,lake,"
    "desert,bridge,stadium,cinema=MOVIE+PLACE,swimming pool=SWIM+POOL,playground=PLAY+PLACE,police station=POLICE+STATION,"
    "fire station=FIRE+STATION,embassy,college,kindergarten,laboratory=#LAB,garage,basement,attic,club=#CLUB,bar=#BAR,mosque,"
    "temple,castle,prison,cemetery,downtown,neighborhood,workshop,studio,salon,clinic,court house=COURT+HOUSE,"
    "coffee shop=COFFEE+STORE,book store=BOOK+STORE,shoe store=SHOES+STORE,toy store=TOY+STORE,mall,camp,valley,waterfall,"
    "cave,capital,border,parking lot=PARK+PLACE,gas station=#GAS+STATION,deaf school=DEAF+SCHOOL,ice rink=ICE+PLACE,"
    "concert hall=MUSIC+PLACE,aquarium,tower,town hall=TOWN+HALL,campus,dormitory=#DORM,"
    "cafeteria,lobby,rooftop=ROOF",
    "food": "~bread,apple,egg,~cheese,~soup,pizza,banana,kiwi=fs-KIWI,sandwich,cookie,cake,potato,tomato,~rice=#RICE,~meat,orange=ORANGE_2,hamburger,"
    "salad,carrot,onion,~chicken=CHICKEN_2,~ice cream=ICE-CREAM,~chocolate,strawberry,grape,lemon,pear,peach,cherry,melon,pineapple,"
    "mushroom,~corn,~spaghetti,~butter,~sugar,~salt,~honey,nut,~popcorn,pancake,sausage,~ham=#HAM,~bacon,~turkey,~fish=FISH_2,"
    "pie=#PIE,donut,candy,~yogurt,~jam=#JAM,~garlic,pepper,cucumber,pumpkin,bean,pea,cabbage,~lettuce,coconut,mango=#MANGO,plum,"
    "fig=#FIG,taco=#TACO,noodle,~toast=#TOAST,~cereal,~breakfast,~lunch,~dinner,steak=#STEAK,olive,snack,~dessert,~rye bread=RYE+BREAD,"
    "birthday cake=BIRTHDAY+CAKE,apple pie=APPLE+PIE,hot dog=HOT+DOG",
    "drink": "~coffee,~tea,~water,~milk,~juice,~cola=fs-COLA,~beer,~wine,~soda,~lemonade=LEMON+WATER,~hot chocolate=HOT+CHOCOLATE,~orange juice=ORANGE+JUICE,"
    "~cider=#CIDER,~whiskey,~cocoa=#COCOA",
    "animal": "dog,cat,bird,horse,cow,rabbit,pig,duck,mouse,bear,lion,elephant,monkey,snake,frog,tiger,wolf,fox,goat,lamb,deer,giraffe,"
    "turtle,spider,butterfly,bee,ant,whale,shark,dolphin,penguin,owl,eagle,rooster,squirrel,hamster,kangaroo,camel,zebra,crocodile,"
    "lizard,parrot,bat=#BAT,worm,fly=FLY_2,snail,crab,octopus,seal,moose,donkey,rat,beaver,skunk,raccoon,swan,peacock,goose,gorilla,"
    "hippo=HIPPOPOTAMUS",
    "vehicle": "car=#CAR,bicycle,bus=#BUS,truck=#TRUCK,boat,train,airplane,motorcycle,van=#VAN,taxi=#TAXI,ship,helicopter,tractor,"
    "scooter,wagon,jeep=#JEEP,ambulance,fire truck=FIRE+TRUCK,sled,rocket,tram,canoe",
    "clothes": "shirt,coat,hat,dress,sweater,jacket,skirt,tie,scarf,belt,ring,necklace,watch=WATCH_2,sock,shoe=SHOES,glove,boot,"
    "bracelet,earring,suit,uniform,apron,cap,blouse,vest,raincoat=RAIN+COAT,mask,helmet,wig,crown,swimsuit=SWIM+SUIT",
    "text": "book,letter,newspaper,story,poem,email=#EMAIL,magazine,card,sign=SIGN_2,menu=#MENU,contract,dictionary,report,"
    "list=LIST,article,message,note,test,~homework,blog=#BLOG,map=#MAP,comic,law,recipe,diary",
    "thing": "table,computer,lego set=fs-LEGO,phone,ball,chair,house,lamp,key,clock,camera,bag,box,bed,door,window,picture,pen=#PEN,cup,knife,umbrella,"
    "glass,plate,bowl,spoon,fork,bottle,television=#TV,radio,refrigerator=#REF,oven,mirror,brush,comb,towel,soap,blanket,pillow,"
    "sofa,desk,shelf,drawer,carpet,curtain,candle,match,toy=#TOY,doll,game,puzzle,guitar,piano,violin,drum,flute,trumpet,"
    "hammer,saw,screwdriver,nail=NAIL_2,rope,ladder,bucket,broom,shovel,pair of scissors=SCISSORS,needle,button,wallet,ticket,"
    "passport,suitcase,tent,flag,flower,tree,plant,rose,leaf,stone,shell,basket,gift,medal,prize,balloon,kite,skateboard,"
    "snowboard,racket,net,goal,trophy,battery,keyboard,screen,printer,cable,robot,calculator,pencil,eraser,ruler,"
    "notebook,envelope,stamp,backpack=BACK+BAG,blackboard=BLACK+BOARD,hearing aid=HEARING-AID,microscope,telescope,"
    "statue,painting=PAINT+PICTURE,photograph,video,film,sculpture,machine,engine,wheel,tire=#TIRE,fence,gate,wall,"
    "ceiling,floor,stairway=STAIRS,sink,bathtub,toilet,shower,heater,fan=#FAN,microwave,stove,kettle,pan,pot",
    "adj_person": "happy,sad,tired,sick,angry,deaf,hungry,smart,nice,funny,busy,strong,young,old,tall,short,thirsty,lazy,shy,brave,rich,"
    "poor,kind,rude,proud,jealous,nervous,scared,surprised,bored,lonely,healthy,famous,patient,polite,honest,curious,stubborn,"
    "hearing,blind,excited,confused,embarrassed,disappointed,frustrated,worried,grateful=THANKFUL,calm,crazy,clever,silly,"
    "serious,generous,selfish,responsible,pregnant,single,married=MARRY,divorced=DIVORCE,asleep,awake,late,ready,alone,"
    "guilty,innocent,popular,talented=SKILL,weak,humble,loyal,skinny,bald,drunk,dizzy,hard of hearing=HARD-OF-HEARING,"
    "independent,ambitious,motivated,satisfied,shocked",
    "adj_thing": "red,big,small,new,blue,green,beautiful,expensive,cheap,yellow,black,white,broken,dirty,clean,heavy,brown,gray,pink,"
    "purple,orange,long,round,soft,hard,strange,important,wonderful,terrible,perfect,empty,full,hot,cold,wet,dry,"
    "light,dark,warm,cool=COOL_2,modern,ancient,ugly,simple,complex,dangerous,safe,free,lost,special,normal,rare,well known=WELL-KNOWN,"
    "smooth,rough,sharp,flat,narrow,wide,thick,thin,deep,square,silver,gold,wooden=WOOD,plastic,electric,"
    "fresh,available,noisy,quiet,fancy,tiny,huge,colorful,valuable,useful,useless,interesting,boring,favorite",
    "verb_thing": "buy/bought,like/liked,have/had,see/saw,find/found,lose/lost,sell/sold,bring/brought,borrow/borrowed,"
    "break/broke,choose/chose,steal/stole,want/wanted=WISH,clean/cleaned=CLEAN_2,throw/threw,hide/hid,carry/carried,draw/drew,"
    "fix/fixed,move/moved,hate/hated,order/ordered,lend/lent,keep/kept,return/returned,touch/touched,use/used,"
    "show/showed,paint/painted,collect/collected,destroy/destroyed,drop/dropped,share/shared,win/won,check/checked,"
    "count/counted,pack/packed,build/built,invent/invented,measure/measured,wash/washed,photograph/photographed="
    "TAKE-PICTURE,design/designed,improve/improved,discover/discovered,replace/replaced,need/needed=NEED_2,receive/received,"
    "describe/described,analyze/analyzed,compare/compared,remove/removed,examine/examined,admire/admired,inherit/inherited",
    "verb_person": "help/helped,meet/met,love/loved,know/knew,visit/visited,ask/asked,tease/teased,call/called,thank/thanked,"
    "invite/invited,support/supported,teach/taught,follow/followed,marry/married=MARRY_2,remember/remembered,hug/hugged,"
    "kiss/kissed,blame/blamed,trust/trusted,warn/warned,advise/advised,miss/missed,pity/pitied,respect/respected,"
    "convince/convinced,forgive/forgave,ignore/ignored,insult/insulted,interview/interviewed,join/joined,"
    "kick/kicked,believe/believed,bother/bothered,catch/caught,cheat/cheated,choose/chose=PICK,criticize/criticized,"
    "encourage/encouraged,fire/fired=DISMISS,force/forced,flatter/flattered,inform/informed,obey/obeyed,pay/paid,praise/praised,"
    "protect/protected,punish/punished,rescue/rescued,scold/scolded,summon/summoned,understand/understood,watch/watched,"
    "welcome/welcomed,hire/hired,introduce/introduced,mock/mocked,accuse/accused,avoid/avoided",
    "verb_plain": "work/worked,sleep/slept,laugh/laughed,cry/cried,run/ran,swim/swam,dance/danced,sing/sang,study/studied,"
    "cook/cooked,play/played,wait/waited,talk/talked,sign/signed,practice/practiced,exercise/exercised,smile/smiled,"
    "fall/fell,rest/rested,travel/traveled,dream/dreamed,think/thought,complain/complained,argue/argued,worry/worried=WORRY_2,"
    "fish/fished,ski/skied,jump/jumped,shout/shouted,pray/prayed,vote/voted,march/marched,camp/camped=CAMP_2,"
    "hike/hiked,skate/skated,shop/shopped=SHOPPING,smoke/smoked,cough/coughed,sneeze/sneezed,shave/shaved,bathe/bathed,"
    "gamble/gambled,gossip/gossiped,whisper/whispered,yawn/yawned,apologize/apologized,celebrate/celebrated,"
    "concentrate/concentrated,disappear/disappeared,fail/failed,graduate/graduated,lie/lied,lipread/lipread,"
    "knit/knitted,sweat/sweated,succeed/succeeded,surf/surfed,struggle/struggled,bake/baked,type/typed,wake up/woke up=WAKE-UP,"
    "retire/retired,suffer/suffered,volunteer/volunteered=VOLUNTEER_2,fingerspell/fingerspelled",
    "verb_place": "go/went,walk/walked,drive/drove,come/came,hurry/hurried,fly/flew=FLY-TO,ride/rode,return/returned=GO-BACK,"
    "move/moved=MOVE-TO,run/ran=RUN-TO,sail/sailed,escape/escaped",
    "verb_eat": "eat/ate,cook/cooked=COOK_2,taste/tasted,smell/smelled,cut/cut,bake/baked=BAKE_2,chew/chewed,serve/served",
    "verb_drink": "drink/drank,pour/poured,spill/spilled,sip/sipped",
    "verb_read": "read/read,write/wrote,send/sent,translate/translated,copy/copied,finish/finished,explain/explained,"
    "discuss/discussed,edit/edited,memorize/memorized,publish/published",
    "verb_wear": "wear/wore,iron/ironed,sew/sewed,try on/tried on=TRY-ON,fold/folded",
    "verb_ride": "drive/drove=DRIVE_2,park/parked=PARK_2,repair/repaired,rent/rented",
    "verb_animal": "feed/fed,chase/chased,train/trained=TRAIN_2,hunt/hunted,pet/petted,fear/feared",
    "adverb": "fast,slowly=SLOW,together,alone=ALONE_2,again,well=GOOD,badly=BAD,a lot=MUCH,carefully=CAREFUL,secretly=SECRET,happily=CHEERFUL,"
    "outside,inside,upstairs,downstairs,early,quietly=SILENT,eagerly=EAGER,daily,suddenly,everywhere,nearby=NEAR,far away=FAR,"
    "continually=CONTINUE,in secret=HIDDEN,in turn=TAKE-TURNS,easily=EASY,by mistake=MISTAKE,for free=FOR-FREE",
    "link": "but,and=PLUS,because,so=THEREFORE,then",
    "condition": "if=#IF,suppose=SUPPOSE,when=WHEN_2,whenever=WHENEVER",
    "weather": "rain/rained,snow/snowed,storm/stormed,thunder/thundered,freeze/froze,hail/hailed",
    "naming": "name",
}  # fmt: skip
