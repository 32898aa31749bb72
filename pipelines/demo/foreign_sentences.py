"""What the demo's speakers of other languages say, written by hand for this demo."""

import numpy as np

GERMAN = (
    "wir haben gestern lange über das neue Haus gesprochen",
    "meine Schwester arbeitet seit drei Jahren in einer kleinen Stadt",
    "der Zug nach Hamburg fährt heute leider eine Stunde später",
    "ich habe das Buch zweimal gelesen und verstehe es noch nicht",
    "im Sommer gehen die Kinder jeden Tag im See schwimmen",
    "kannst du mir bitte sagen wo der nächste Bahnhof ist",
    "am Wochenende kochen wir immer zusammen mit unseren Nachbarn",
    "das Wetter war schlecht aber wir sind trotzdem gewandert",
    "er wollte schon immer ein eigenes Geschäft eröffnen",
    "die alte Brücke wurde vor zwei Jahren neu gebaut",
    "niemand wusste wirklich warum der Lehrer so früh gegangen ist",
    "wir müssen morgen um sechs Uhr aufstehen und früh losfahren",
    "früher stand hier eine große Fabrik mit hohen Schornsteinen",
    "sie hat ihrem Bruder zum Geburtstag eine Uhr geschenkt",
    "das Museum ist montags geschlossen und dienstags kostenlos",
    "nach dem Essen gehen wir gern noch ein Stück spazieren",
    "ich möchte ein Brot und zwei Stück Kuchen mitnehmen",
    "der Arzt hat gesagt dass du mehr schlafen solltest",
    "unser Garten ist nicht groß aber er ist schön ruhig",
    "in der Schule haben wir viel über die Geschichte gelernt",
    "bitte schließen Sie die Tür wenn Sie das Zimmer verlassen",
    "der Film war länger als ich am Anfang gedacht hatte",
    "zwischen den Häusern spielen die Kinder gern Fußball",
    "ich habe meinen Schlüssel wieder auf dem Küchentisch vergessen",
)
FRENCH = (
    "nous avons parlé pendant des heures de la nouvelle maison",
    "ma sœur travaille depuis trois ans dans une petite ville",
    "le train pour Lyon partira avec une heure de retard",
    "j'ai lu ce livre deux fois et je ne le comprends pas encore",
    "en été les enfants vont se baigner dans le lac tous les jours",
    "pouvez vous me dire où se trouve la gare s'il vous plaît",
    "le dimanche nous faisons la cuisine avec nos voisins",
    "il pleuvait beaucoup mais nous sommes sortis quand même",
    "il a toujours voulu ouvrir un petit restaurant au bord de la mer",
    "le vieux pont a été reconstruit il y a deux ans",
    "personne ne savait pourquoi le professeur était parti si tôt",
    "demain il faut se lever à six heures pour prendre la route",
    "autrefois il y avait ici une grande usine de chaussures",
    "elle a offert une montre à son frère pour son anniversaire",
    "le musée est fermé le lundi et gratuit le premier dimanche du mois",
    "après le repas nous aimons faire une longue promenade",
    "je voudrais une baguette et deux gâteaux aux pommes",
    "le médecin m'a dit que je devais dormir davantage",
    "notre jardin n'est pas grand mais il est très calme",
    "à l'école nous avons beaucoup appris sur l'histoire du pays",
    "fermez la porte quand vous quittez la chambre",
    "le film était plus long que je ne le pensais au début",
    "les enfants jouent au ballon entre les maisons du village",
    "j'ai encore oublié mes clés sur la table de la cuisine",
)
SPANISH = (
    "ayer hablamos durante mucho tiempo de la casa nueva",
    "mi hermana trabaja desde hace tres años en una ciudad pequeña",
    "el tren de Sevilla llegará hoy con una hora de retraso",
    "he leído este libro dos veces y todavía no lo entiendo",
    "en verano los niños se bañan en el lago todos los días",
    "me puede decir dónde está la estación más cercana por favor",
    "los domingos cocinamos siempre con nuestros vecinos",
    "hacía mal tiempo pero salimos a caminar de todas maneras",
    "él siempre quiso abrir una tienda cerca de la playa",
    "el puente viejo fue reconstruido hace dos años",
    "nadie sabía por qué el profesor se había marchado tan temprano",
    "mañana tenemos que levantarnos a las seis de la mañana",
    "antes había aquí una fábrica muy grande de zapatos",
    "ella le regaló un reloj a su hermano por su cumpleaños",
    "el museo cierra los lunes y es gratis los martes",
    "después de comer nos gusta dar un largo paseo",
    "quisiera una barra de pan y dos pasteles de manzana",
    "el médico me dijo que debería dormir un poco más",
    "nuestro jardín no es grande pero es muy tranquilo",
    "en la escuela aprendimos mucho sobre la historia del país",
    "cierre la puerta cuando salga de la habitación",
    "la película fue más larga de lo que yo pensaba",
    "los niños juegan a la pelota entre las casas del pueblo",
    "otra vez olvidé las llaves encima de la mesa de la cocina",
)
SENTENCES = {"de": GERMAN, "fr": FRENCH, "es": SPANISH}


def foreign_sentence(language: str, rng: np.random.Generator) -> str:
    """One of the sentences of ``language`` ("de", "fr" or "es")."""
    sentences = SENTENCES[language]
    return sentences[rng.integers(len(sentences))]
